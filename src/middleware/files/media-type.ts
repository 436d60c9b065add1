/** Content types by extension: what web sites hold, in the names IANA has registered. */

const TEXT: Readonly<Record<string, string>> = {
  css: "text/css",
  csv: "text/csv",
  htm: "text/html",
  html: "text/html",
  ics: "text/calendar",
  js: "text/javascript",
  md: "text/markdown",
  mjs: "text/javascript",
  txt: "text/plain",
  vtt: "text/vtt",
};

/** XML is among them: it names its character encoding itself, and a parameter would overrule that. */
const OTHER: Readonly<Record<string, string>> = {
  "7z": "application/x-7z-compressed",
  aac: "audio/aac",
  atom: "application/atom+xml",
  avif: "image/avif",
  br: "application/octet-stream",
  bz2: "application/x-bzip2",
  epub: "application/epub+zip",
  flac: "audio/flac",
  gif: "image/gif",
  gz: "application/gzip",
  ico: "image/vnd.microsoft.icon",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  jsonld: "application/ld+json",
  jxl: "image/jxl",
  m4a: "audio/mp4",
  m4v: "video/mp4",
  map: "application/json",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  mpd: "application/dash+xml",
  m3u8: "application/vnd.apple.mpegurl",
  m4s: "video/iso.segment",
  oga: "audio/ogg",
  ogg: "audio/ogg",
  ogv: "video/ogg",
  opus: "audio/ogg",
  otf: "font/otf",
  pdf: "application/pdf",
  png: "image/png",
  rss: "application/rss+xml",
  svg: "image/svg+xml",
  tar: "application/x-tar",
  tif: "image/tiff",
  tiff: "image/tiff",
  ts: "video/mp2t",
  ttf: "font/ttf",
  wasm: "application/wasm",
  wav: "audio/wav",
  weba: "audio/webm",
  webm: "video/webm",
  webmanifest: "application/manifest+json",
  webp: "image/webp",
  woff: "font/woff",
  woff2: "font/woff2",
  xhtml: "application/xhtml+xml",
  xml: "application/xml",
  xz: "application/x-xz",
  zip: "application/zip",
  zst: "application/zstd",
};

const UNKNOWN = "application/octet-stream";

/** Makes the function that gives the type of a path. `overrides` is by extension, with or without its dot. */
export function mediaTypes(overrides: Readonly<Record<string, string>>): (path: string) => string {
  const types = new Map<string, string>(Object.entries(OTHER));
  for (const [extension, type] of Object.entries(TEXT)) types.set(extension, `${type}; charset=utf-8`);
  for (const [extension, type] of Object.entries(overrides))
    types.set(extension.replace(/^\./, "").toLowerCase(), type);
  return (path) => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const dot = name.lastIndexOf(".");
    // ".profile" has no extension, it is a name.
    return dot <= 0 ? UNKNOWN : (types.get(name.slice(dot + 1).toLowerCase()) ?? UNKNOWN);
  };
}
