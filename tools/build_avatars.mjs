// Draws pixel avatars with DiceBear's "Pixel Art" style (design: CC0 1.0) and writes raw pixels and attributes.
//
//   npm install @dicebear/core@9.4.3 @dicebear/pixel-art@9.4.3 @resvg/resvg-js@2.6.2     (once, in any folder)
//   node build_avatars.mjs FOLDER_WITH_NODE_MODULES COUNT OUT
//
// Writes OUT.rgb (COUNT x 16 x 16 x 3 bytes) and OUT.json (colours and one attribute record per avatar).
// tools/build_avatars.py calls it. Avatar i depends on i alone: the same count gives the same bytes.
import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join, resolve } from "node:path";

const [modules, count, out] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "index.js"));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { createAvatar } = await load("@dicebear/core");
const style = await load("@dicebear/pixel-art");
const { Resvg } = require("@resvg/resvg-js");

// Few colours, far apart, so that 32 palette entries hold all of them and their tints.
const colors = {
  background: { light: "e4ecf2" },
  hair_color: { black: "2b1a12", blond: "e0b040", red: "b5321c", pink: "e88fc0", blue: "1f6fb2", green: "5c9a1f" },
  clothing_color: { red: "d11141", yellow: "ffd23f", green: "00b159", blue: "4ba3e3", purple: "8250b8" },
  skin: { pale: "ffdbac", light: "e0b687", tan: "b68655", dark: "7a4a24" },
  eye_color: { brown: "7a4a24", blue: "1f6fb2", green: "5c9a1f" }, // shared with skin and hair: no new colours
  mouth_color: { pink: "d2746a", red: "c8102e" },
  glasses_color: { dark: "323232" },
};
const pickFrom = (name) => Object.values(colors[name]);
const nameOf = (table, value) =>
  Object.keys(colors[table]).find((key) => `#${colors[table][key]}` === value.toLowerCase());

const options = {
  size: 16,
  backgroundColor: pickFrom("background"),
  hairColor: pickFrom("hair_color"),
  clothingColor: pickFrom("clothing_color"),
  hatColor: pickFrom("clothing_color"),
  skinColor: pickFrom("skin"),
  eyesColor: pickFrom("eye_color"),
  mouthColor: pickFrom("mouth_color"),
  glassesColor: pickFrom("glasses_color"),
  accessoriesColor: [colors.clothing_color.yellow],
  accessoriesProbability: 15,
  glassesProbability: 33,
  hatProbability: 25,
  beardProbability: 0, // a beard is masked by its own brightness: dark ones can't be seen
};

const pixels = Buffer.alloc(count * 768);
const records = [];
for (let i = 0; i < count; i++) {
  const avatar = createAvatar(style, { ...options, seed: `avatar-${i}` });
  const rgba = new Resvg(avatar.toString(), { font: { loadSystemFonts: false } }).render().pixels;
  for (let p = 0; p < 256; p++) rgba.copy(pixels, i * 768 + p * 3, p * 4, p * 4 + 3);
  const extra = avatar.toJson().extra;
  records.push({
    hair_color: nameOf("hair_color", extra.hairColor),
    clothing_color: nameOf("clothing_color", extra.clothingColor),
    skin: nameOf("skin", extra.skinColor),
    eye_color: nameOf("eye_color", extra.eyesColor),
    hair_length: extra.hair.replace(/\d+/, ""),
    glasses: extra.glasses ? { light: "clear", dark: "dark" }[extra.glasses.replace(/\d+/, "")] : "none",
    hat: extra.hat ? "yes" : "no",
    mouth: extra.mouth.replace(/\d+/, ""),
  });
}
writeFileSync(`${out}.rgb`, pixels);
writeFileSync(`${out}.json`, JSON.stringify({ colors, records }));
