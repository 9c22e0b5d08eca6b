/** Show only the widgets of a Guidance Term's curve that this curve reads. Hidden ones keep their values. */

const NO_ROOM = [0, -4]; // takes back the gap between two widgets
const before = new WeakMap(); // another pack's own computeSize of a hidden widget
const READ_BY = { curve_end: ["linear", "cosine"], curve_ramp: ["ramp"], keyframes: ["keyframes"] };

/** Hide and show a term's widgets whenever its curve changes. A widget with a link stays. */
export function hideUnused(node) {
  const curve = node.widgets?.find((widget) => widget.name === "curve");
  if (!curve) return;
  const isLinked = (name) => node.inputs?.some((input) => (input.widget?.name ?? "") === name && input.link != null);
  for (const [name, curves] of Object.entries(READ_BY)) {
    const widget = node.widgets.find((one) => one.name === name);
    const isHidden = !curves.includes(curve.value) && !isLinked("curve") && !isLinked(name);
    if (!widget || Boolean(widget.hidden) === isHidden) continue;
    widget.hidden = isHidden; // the classic rendering, which still leaves room for it
    if (isHidden) {
      before.set(widget, Object.getOwnPropertyDescriptor(widget, "computeSize"));
      widget.computeSize = () => NO_ROOM;
    } else {
      delete widget.computeSize;
      if (before.get(widget)) Object.defineProperty(widget, "computeSize", before.get(widget));
    }
    widget.options = { ...widget.options, hidden: isHidden }; // the new one
    node.setDirtyCanvas?.(true, true);
  }
}
