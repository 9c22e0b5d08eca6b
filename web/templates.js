/**
 * Titles and descriptions for our workflows in ComfyUI's template browser, in the best order to read them. The browser
 * shows only file names for a pack's templates, but titles and descriptions for ComfyUI's own.
 */

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const TEXTS = new URL("./templates.json", import.meta.url);
/** The pack's folder, whose name the template browser shows. */
const PACK = decodeURIComponent(TEXTS.pathname.split("/").at(-2));

/** Describe our templates as ComfyUI describes its own; those without a text come last, under their file name. */
function category(names, texts) {
  const described = texts.filter((text) => names.includes(text.name));
  const known = new Set(described.map((text) => text.name));
  const others = names.filter((name) => !known.has(name)).map((name) => ({ name, title: name, description: name }));
  const templates = [...described, ...others].map((text) => ({ ...text, mediaType: "image", mediaSubtype: "jpg" }));
  return { moduleName: PACK, title: PACK, type: "image", templates };
}

/** Move our templates from the list of packs to ComfyUI's own templates, in the server's answers to the page. */
function describeTemplates(texts) {
  const { getWorkflowTemplates, getCoreWorkflowTemplates } = api;
  api.getWorkflowTemplates = async () => {
    const { [PACK]: _, ...others } = await getWorkflowTemplates.call(api);
    return others;
  };
  api.getCoreWorkflowTemplates = async (...languages) => {
    const names = (await getWorkflowTemplates.call(api))[PACK] ?? [];
    const core = await getCoreWorkflowTemplates.apply(api, languages).catch((error) => {
      console.warn("ComfyUI's own templates cannot be read:", error);
      return [];
    });
    return names.length ? [...core, category(names, texts)] : core;
  };
}

app.registerExtension({
  name: "gcfg.templates",

  async setup() {
    try {
      if (api.getWorkflowTemplates && api.getCoreWorkflowTemplates) {
        describeTemplates(await (await fetch(TEXTS)).json());
      }
    } catch (error) {
      console.warn("GCFG: the template browser shows file names alone:", error);
    }
  },
});
