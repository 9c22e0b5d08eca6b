// Reads one drawing a line, {"style": package, "options": {...}}, and writes its SVG as a line of JSON.
import { createAvatar } from "@dicebear/core";
import { createInterface } from "node:readline";

const styles = {};
for await (const line of createInterface({ input: process.stdin })) {
  const { style, options } = JSON.parse(line);
  styles[style] ??= await import(`@dicebear/${style}`);
  process.stdout.write(JSON.stringify(createAvatar(styles[style], options).toString()) + "\n");
}
