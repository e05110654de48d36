// Values as text, in the units that the dashboards use, and the colours that go with them.
"use strict";

const COLORS = {
  green: "#37872d", "dark-green": "#19730e", "light-green": "#73bf69", "semi-dark-green": "#56a64b",
  orange: "#e55400", "light-orange": "#ff9830", "dark-orange": "#c44400", "semi-dark-orange": "#ff780a",
  red: "#c4162a", "dark-red": "#ad0317", "light-red": "#f2495c", "semi-dark-red": "#e02f44",
  blue: "#1f60c4", "light-blue": "#5794f2", "dark-blue": "#1250b0", "semi-dark-blue": "#3274d9",
  yellow: "#cc9d00", "light-yellow": "#fade2a", "dark-yellow": "#a37c00", "semi-dark-yellow": "#f2cc0c",
  purple: "#8f3bb8", "light-purple": "#b877d9", "dark-purple": "#7c2ea3", "semi-dark-purple": "#a352cc",
  text: "#24292e", transparent: "transparent", gray: "#8e8e8e", grey: "#8e8e8e",
};
const PALETTE = [
  "#56a64b", "#d9a800", "#3274d9", "#e0651b", "#c4162a", "#8f3bb8", "#1d9aa8", "#705da0", "#508642", "#b07d00",
  "#447ebc", "#c15c17", "#890f02", "#0a437c", "#6d1f62", "#584477", "#9ac48a", "#e5a8e2", "#806eb7", "#5195ce",
];

const color = (name) => COLORS[name] ?? name;

// A value's text; decimals are what the panel asks for, or as many as tell it from its neighbours.
function format(value, unit, decimals) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const scaled = (steps) => {
    const size = Math.abs(value);
    const [bound, name] = steps.find(([bound]) => size >= bound) ?? steps[steps.length - 1];
    return `${digits(value / bound, decimals)}${name}`;
  };
  const short = [[1e12, " T"], [1e9, " Bil"], [1e6, " Mil"], [1e3, " K"], [1, ""]];
  switch (unit) {
    case "percentunit": return `${digits(value * 100, decimals)}%`;
    case "percent": return `${digits(value, decimals)}%`;
    case "s": case "dtdurations": {
      if (value === 0) return "0 s";
      return scaled([[86400, " d"], [3600, " h"], [60, " min"], [1, " s"], [1e-3, " ms"], [1e-6, " µs"]]);
    }
    case "ms": return `${digits(value, decimals)} ms`;
    case "m": return `${digits(value, decimals)} min`;
    case "h": return `${digits(value, decimals)} h`;
    case "bytes": return scaled([[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"], [1, " B"]]);
    case "decbytes": return scaled([[1e12, " TB"], [1e9, " GB"], [1e6, " MB"], [1e3, " kB"], [1, " B"]]);
    case "Bps": return scaled([[1e12, " TB/s"], [1e9, " GB/s"], [1e6, " MB/s"], [1e3, " kB/s"], [1, " B/s"]]);
    case "binBps": return scaled([[2 ** 30, " GiB/s"], [2 ** 20, " MiB/s"], [2 ** 10, " KiB/s"], [1, " B/s"]]);
    case "reqps": return `${scaled(short)} req/s`;
    case "ops": return `${scaled(short)} ops/s`;
    case "wps": return `${scaled(short)} wr/s`;
    case "cps": return `${scaled(short)} c/s`;
    case "celsius": return `${digits(value, decimals)} °C`;
    case "watt": return scaled([[1e6, " MW"], [1e3, " kW"], [1, " W"]]);
    case "kwatth": return `${digits(value, decimals)} kWh`;
    case "rotmhz": case "hertz": return scaled([[1e9, " GHz"], [1e6, " MHz"], [1e3, " kHz"], [1, " Hz"]]);
    case "currencyUSD": return `$${digits(value, decimals ?? 2)}`;
    case "currencyEUR": return `€${digits(value, decimals ?? 2)}`;
    case "bool": return value ? "True" : "False";
    case "bool_yes_no": return value ? "Yes" : "No";
    case "bool_on_off": return value ? "On" : "Off";
    case "dateTimeAsIso": return new Date(value).toISOString().replace("T", " ").slice(0, 19);
    case "none": case "": case undefined: return digits(value, decimals);
    case "short": case "locale": return scaled(short);
    default:
      if (unit.startsWith("suffix:")) return `${scaled(short)}${unit.slice(7)}`;
      if (unit.startsWith("prefix:")) return `${unit.slice(7)}${scaled(short)}`;
      throw new Error(`unit ${unit} is not known to scripts/screens/format.js`);
  }
}

function digits(value, decimals) {
  if (decimals !== undefined && decimals !== null) return value.toFixed(decimals);
  const size = Math.abs(value);
  if (size === 0) return "0";
  const places = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(size)));
  return String(Number(value.toFixed(places)));
}

// What the field's mappings make of a value: {text, color}, either may be missing.
function mapped(value, config) {
  for (const mapping of config.mappings ?? []) {
    const options = mapping.options;
    if (mapping.type === "value" && options[String(value)]) return options[String(value)];
    const number = typeof value === "number";
    if (mapping.type === "range" && number && value >= (options.from ?? -Infinity) && value <= (options.to ?? Infinity)) return options.result;
    if (mapping.type === "regex" && new RegExp(options.pattern.replace(/^\/|\/$/g, "")).test(String(value))) return options.result;
    if (mapping.type === "special") {
      const missing = value === null || value === undefined, nan = number && Number.isNaN(value);
      const match = { null: missing, nan, "null+nan": missing || nan, empty: value === "", true: value === true, false: value === false };
      if (match[options.match]) return options.result;
    }
  }
  return {};
}

// The colour that the thresholds give to a value.
function judged(value, config) {
  let found = "text";
  for (const step of config.thresholds?.steps ?? []) if (step.value === null || value >= step.value) found = step.color;
  return color(found);
}

function shown(value, config) {
  const map = mapped(value, config);
  const text = map.text ?? (value === null || value === undefined ? config.noValue ?? "No data"
    : typeof value === "number" ? (Number.isNaN(value) ? "NaN" : format(value, config.unit, config.decimals)) : String(value));
  const own = config.color?.mode === "fixed" ? color(config.color.fixedColor) : undefined;
  const chosen = map.color ? color(map.color) : own ?? (typeof value === "number" && !Number.isNaN(value) ? judged(value, config) : color("text"));
  return { text, color: chosen };
}

// The configuration of one field: the panel's defaults, and the overrides that match its name or its query.
function configOf(panel, name, refId) {
  const config = structuredClone(panel.fieldConfig?.defaults ?? {});
  for (const override of panel.fieldConfig?.overrides ?? []) {
    const { id, options } = override.matcher;
    const hit = id === "byName" ? name === options
      : id === "byRegexp" ? new RegExp(options.replace(/^\/|\/$/g, "")).test(name)
      : id === "byFrameRefID" ? refId === options
      : id === "byType" ? false : undefined;
    if (hit === undefined) throw new Error(`matcher ${id} is not known to scripts/screens/format.js`);
    if (!hit) continue;
    for (const { id: path, value } of override.properties) {
      const keys = path.split(".");
      let place = config;
      for (const key of keys.slice(0, -1)) place = place[key] ??= {};
      place[keys.at(-1)] = value;
    }
  }
  return config;
}
