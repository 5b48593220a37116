// Draws the diagrams in the colours of the page, and again when the reader switches them. Mermaid is
// large, and loaded only where there is something to draw.
const library = new URL("vendor/mermaid.tiny.js", document.currentScript.src);
const sources = [...document.querySelectorAll("div.mermaid")].map((element) => [element, element.textContent]);
const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");

function pageIsDark() {
  const chosen = document.body.dataset.theme;
  return chosen === "dark" || (chosen !== "light" && systemIsDark.matches);
}

async function draw() {
  const width = { useMaxWidth: true };
  mermaid.initialize({
    startOnLoad: false,
    securityLevel: "strict",
    theme: pageIsDark() ? "dark" : "neutral",
    fontFamily: "inherit",
    flowchart: { ...width, wrappingWidth: 420, nodeSpacing: 24, rankSpacing: 24, padding: 8 },
    sequence: { ...width, actorMargin: 24, width: 110, mirrorActors: false, wrap: true },
    state: width,
  });
  for (const [element, source] of sources) {
    element.removeAttribute("data-processed");
    element.textContent = source;
  }
  await mermaid.run({ nodes: sources.map(([element]) => element) });
}

if (sources.length > 0) {
  const script = document.createElement("script");
  script.src = library.href;
  script.addEventListener("load", draw);
  document.head.append(script);
  const redraw = () => typeof mermaid !== "undefined" && draw();
  systemIsDark.addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.body, { attributeFilter: ["data-theme"] });
}
