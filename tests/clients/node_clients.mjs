// The official Node SDKs at their default settings, directly and through the gateway.
// stage.py runs this: STAGE says where everything is. CLIENTS_NODE is the folder of the packages.
import assert from "node:assert/strict";
import { appendFileSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const stage = JSON.parse(process.env.STAGE);
const cases = JSON.parse(readFileSync(join(here, "cases.json"), "utf8"));

// Packages lie in a cache folder, not beside this file.
const require = createRequire(join(process.env.CLIENTS_NODE, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: OpenAI } = await load("openai");
const { default: Anthropic } = await load("@anthropic-ai/sdk");
const { GoogleGenAI } = await load("@google/genai");
const { generateText, streamText, tool, jsonSchema, stepCountIs, isStepCount } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
// The AI SDK warns of what it does not like in a model's name.
globalThis.AI_SDK_LOG_WARNINGS = false;
console.warn = console.error = () => {};

// ---- the score

let passed = 0, failed = 0;
const notes = (line) => appendFileSync(process.env.CLIENTS_NOTES, JSON.stringify(line) + "\n");
async function test(name, check) {
  try {
    await check();
    passed++;
    console.log(`ok   ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error?.name}: ${String(error?.message).replace(/\s+/g, " ").slice(0, 900)}`);
  }
}

// ---- where a client is pointed

const models = { openai: "gpt-4o", anthropic: "claude-haiku-4-5", gemini: "gemini-2.5-flash" };
const at = (address, more = {}) => {
  const to = { address, key: "test-key", headers: {}, suffix: "", prefix: "", text: "", ...more };
  to.model ??= (family) => models[family] + to.suffix;
  to.url = (path = "") => `http://${address}${to.prefix}${path}`;
  return to;
};
async function tap(where, corrupt = false) {
  const made = await (await fetch(`http://${stage.control}/tap?to=${where}${corrupt ? "&corrupt=1" : ""}`)).json();
  const requests = async () => (await (await fetch(`http://${stage.control}/count?number=${made.number}`)).json()).requests;
  return { address: made.address, number: made.number, requests };
}
// The id of a kill.
async function kill(how) {
  const told = await (await fetch(`http://${stage.control}/kill?${new URLSearchParams(how)}`)).json();
  assert(told.lever, told.failed);
  return told.lever;
}
// Of a model once its answer through the tap is under way.
const killUnderWay = ({ number }, model, streams) => kill({ number, model, ...(streams && { streams }) });

// ---- the clients: each takes where it is pointed and a prompt, and returns all it was told

const user = (content) => [{ role: "user", content }];
const schema = { type: "object", properties: { city: { type: "string" } } };
const names = ["weather", "clock"];
const chatTools = names.map((name) => ({ type: "function", function: { name, parameters: schema } }));
const responsesTools = names.map((name) => ({ type: "function", name, parameters: schema, strict: false }));
const anthropicTools = names.map((name) => ({ name, input_schema: schema }));
const genaiConfig = { tools: [{ functionDeclarations: names.map((name) => ({ name, parametersJsonSchema: schema })) }] };
const tools = Object.fromEntries(names.map((name) => [name, tool({ inputSchema: jsonSchema(schema) })]));

const openai = (to) => new OpenAI({ baseURL: to.url("/v1"), apiKey: to.key, defaultHeaders: to.headers });
const claude = (to) => new Anthropic({ baseURL: to.url(), apiKey: to.key, defaultHeaders: to.headers });
const google = (to) => new GoogleGenAI({ apiKey: to.key, httpOptions: { baseUrl: to.url(), headers: to.headers } });
const chatBody = (to, prompt) => ({ model: to.model("openai"), messages: user(prompt), tools: chatTools });
const responsesBody = (to, prompt) => ({ model: to.model("openai"), input: prompt, tools: responsesTools });
const claudeBody = (to, prompt) => ({ model: to.model("anthropic"), max_tokens: 500, messages: user(prompt), tools: anthropicTools });
const googleBody = (to, prompt) => ({ model: to.model("gemini"), contents: prompt, config: genaiConfig });

async function all(stream, see) {
  const items = [];
  for await (const item of stream) {
    see(item);
    items.push(item);
  }
  return items;
}
const seeChat = (to) => (chunk) => { for (const choice of chunk.choices ?? []) if (typeof choice.delta?.content === "string") to.text += choice.delta.content; };
const seeResponses = (to) => (event) => { if (event.type === "response.output_text.delta") to.text += event.delta; };
const seeClaude = (to) => (event) => { if (event.delta?.type === "text_delta") to.text += event.delta.text; };
const seeGoogle = (to) => (chunk) => { for (const part of chunk.candidates?.[0]?.content?.parts ?? []) to.text += part.text ?? ""; };
// The SDK keeps the HTTP head in each answer.
const told = ({ sdkHttpResponse, ...rest }) => rest;

const clients = [
  ["openai chat", "openai", "openai-chat", false, (to, prompt) => openai(to).chat.completions.create(chatBody(to, prompt))],
  ["openai chat, stream", "openai", "openai-chat", true, async (to, prompt) =>
    all(await openai(to).chat.completions.create({ ...chatBody(to, prompt), stream: true, stream_options: { include_usage: true } }), seeChat(to))],
  ["openai chat, .stream()", "openai", "openai-chat", true, async (to, prompt) => {
    const stream = openai(to).chat.completions.stream(chatBody(to, prompt));
    stream.on("content", (text) => { to.text += text; });
    return stream.finalChatCompletion();
  }],
  ["openai responses", "openai", "openai-responses", false, (to, prompt) => openai(to).responses.create(responsesBody(to, prompt))],
  ["openai responses, stream", "openai", "openai-responses", true, async (to, prompt) =>
    all(await openai(to).responses.create({ ...responsesBody(to, prompt), stream: true }), seeResponses(to))],
  ["anthropic", "anthropic", "anthropic", false, (to, prompt) => claude(to).messages.create(claudeBody(to, prompt))],
  ["anthropic, stream", "anthropic", "anthropic", true, async (to, prompt) =>
    all(await claude(to).messages.create({ ...claudeBody(to, prompt), stream: true }), seeClaude(to))],
  ["anthropic, .stream()", "anthropic", "anthropic", true, async (to, prompt) => {
    const stream = claude(to).messages.stream(claudeBody(to, prompt));
    stream.on("text", (text) => { to.text += text; });
    return stream.finalMessage();
  }],
  ["@google/genai", "gemini", "gemini", false, async (to, prompt) => told(await google(to).models.generateContent(googleBody(to, prompt)))],
  ["@google/genai, stream", "gemini", "gemini", true, async (to, prompt) =>
    (await all(await google(to).models.generateContentStream(googleBody(to, prompt)), seeGoogle(to))).map(told)],
];
const vercel = [
  ["ai, openai", "openai", "openai-responses", (to) => createOpenAI({ baseURL: to.url("/v1"), apiKey: to.key, headers: to.headers })(to.model("openai"))],
  ["ai, openai chat", "openai", "openai-chat", (to) => createOpenAI({ baseURL: to.url("/v1"), apiKey: to.key, headers: to.headers }).chat(to.model("openai"))],
  ["ai, anthropic", "anthropic", "anthropic", (to) => createAnthropic({ baseURL: to.url("/v1"), apiKey: to.key, headers: to.headers })(to.model("anthropic"))],
  ["ai, openai-compatible", "openai", "openai-chat", (to) =>
    createOpenAICompatible({ name: "x", baseURL: to.url("/v1"), apiKey: to.key, headers: to.headers })(to.model("openai"))],
];
for (const [name, family, dialect, model] of vercel) {
  clients.push([name, family, dialect, false, async (to, prompt) => {
    const answer = await generateText({ model: model(to), prompt, tools });
    return { content: answer.content, finish: answer.finishReason, usage: answer.usage, metadata: answer.providerMetadata };
  }]);
  clients.push([`${name}, stream`, family, dialect, true, async (to, prompt) => {
    let wrong;
    const parts = await all(streamText({ model: model(to), prompt, tools, onError: () => {} }).fullStream, (part) => {
      if (part.type === "text-delta") to.text += part.text;
      if (part.type === "error") wrong ??= part.error;
    });
    // Its streams do not throw: an error is a part, and applications look for it.
    if (wrong) throw wrong instanceof Error ? wrong : Object.assign(new Error(JSON.stringify(wrong)), { name: "error part", cause: wrong });
    return parts.map(({ request, response, ...part }) => part);
  }]);
}

// ---- what must hold

// What the simulated provider counts or dates anew, and what the SDK numbers itself, is taken out.
const plain = (value) => JSON.stringify(value, (key, item) =>
  ["created", "created_at", "timestamp", "messageId", "performance"].includes(key) ? 0
    : key === "id" && typeof item === "string" && /^[A-Za-z0-9]{16}$|^aitxt-|^msg-/.test(item) ? "id" : item instanceof Error ? String(item) : item)
  ?.replace(/mock_?-?\d+/g, "mock").replace(/aitxt-\w+/g, "aitxt");

async function outcome(ask, to, prompt) {
  try {
    return plain(await ask(to, prompt));
  } catch (error) {
    return `raised ${error?.name}: ${plain(String(error?.message))}; it had said ${to.text}`;
  }
}
function said(error) {
  const parts = [];
  for (let one = error, depth = 0; one && depth < 6; one = one.lastError ?? one.cause, depth++) {
    parts.push(String(one.message), JSON.stringify(one) ?? "", String(one.responseBody ?? ""), JSON.stringify(one.error ?? null));
  }
  return parts.join(" ").replace(/\\"/g, '"');
}
function same(direct, through) {
  if (direct === through) return;
  let i = 0;
  while (direct[i] === through[i]) i++;
  const near = (text) => text.slice(Math.max(0, i - 80), i + 160);
  throw new Error(`at ${i}: direct ...${near(direct)} but through ...${near(through)}`);
}
const kind = (error) => (error?.constructor?.name && error.constructor.name !== "Error" && !error.constructor.name.startsWith("_") ? error.constructor.name : error?.name);
async function measured(client, column, from, ask, to, prompt) {
  let got;
  try {
    got = await ask(to, prompt);
  } catch (error) {
    if (column) notes({ client, column, cell: `${await from.requests()} ${kind(error)}` });
    return error;
  }
  notes({ client, column, cell: `${await from.requests()} NO EXCEPTION` });
  throw new Error(`no exception: a failure was taken for the answer ${plain(got)?.slice(0, 300)}`);
}
const reference = /\(ref x_\w+\)/;

async function answers([name, family, dialect, streams, ask]) {
  const pair = (label, run) => test(`${name}: ${label}`, async () => same(await run(stage.mock), await run(stage.open)));
  const answered = (text) => { assert(!text.startsWith("raised"), text); return text; };
  for (const [label, prompt] of Object.entries(cases.prompts)) {
    await pair(label, async (address) => (label === "cut short" ? (x) => x : answered)(await outcome(ask, at(address), prompt)));
  }
  await pair("under the provider's own path", async (address) => answered(await outcome(ask, at(address, { prefix: `/${family}` }), cases.prompts.tool)));
  if (!streams) return;
  for (const tape of cases.tapes[dialect]) {
    await pair(`recorded ${tape}`, async (address) => {
      const text = await outcome(ask, at(address, { headers: { "x-tape": tape, "x-tape-split": "random:7" } }), "Go on.");
      assert(!text.includes("x-tape"), text);
      return text;
    });
  }
}

async function failures([name, family, dialect, streams, ask], slot) {
  for (const status of cases.errors) {
    await test(`${name}: provider's ${status}, direct and through`, async () => {
      // Both at once: retries take seconds.
      const seen = await Promise.all([["mock", ""], ["open", `-${slot}`]].map(async ([where, suffix]) => {
        const from = await tap(where);
        // The column of the table is the run through the gateway.
        const column = suffix ? `provider ${status}` : undefined;
        const error = await measured(name, column, from, ask, at(from.address, { suffix }), `mock:status=${status};`);
        assert(said(error).includes("fails on request"), said(error));
        return [await from.requests(), kind(error), error.status ?? error.statusCode ?? error.lastError?.statusCode];
      }));
      assert.deepEqual(seen[1], seen[0]);
    });
    // Errors in 5xx count against the target: an answer clears it.
    await ask(at(stage.open, { suffix: `-${slot}` }), cases.prompts.long);
  }
  for (const [label, expected] of Object.entries(cases.refusals)) {
    await test(`${name}: refused, ${label}`, async () => {
      const where = label.includes("app") ? "apps" : "open";
      const from = await tap(where, label === "bad body");
      const to = at(from.address, { suffix: label === "no provider" ? "-down" : "" });
      if (label === "unknown model") to.model = () => "nobody-knows-it";
      if (label === "limit of the app") {
        to.key = stage.keys[slot];
        await ask(at(stage.apps, { key: to.key }), cases.prompts.text);
      }
      const error = await measured(name, label, from, ask, to, cases.prompts.text);
      const text = said(error);
      assert(expected.words.some((word) => text.includes(word)), text);
      assert(text.includes(expected.codes[family]), text);
      assert.match(text, reference);
      if (label !== "no provider") assert.equal(await from.requests(), 1, "what is final was asked again");
    });
  }
  if (!streams) {
    // Whole answers that break on their way: an error answer, which may be asked for again.
    for (const [label, expected] of Object.entries(cases.cuts)) {
      await test(`${name}: broken, ${label}`, async () => {
        const from = await tap("open");
        const error = await measured(name, `whole, ${label}`, from, ask, at(from.address, { suffix: `-${slot}` }), `mock:tokens=30,${expected.script};`);
        // JSON that is cut while HTTP says it is whole is the provider's word, and passed on: no SDK can read it.
        assert(label === "truncated" || said(error).includes(expected.codes[family]), said(error));
      });
      await ask(at(stage.open, { suffix: `-${slot}` }), cases.prompts.long);
    }
    return;
  }
  const whole = at(stage.mock);
  await ask(whole, "mock:tokens=30;");
  for (const [label, expected] of Object.entries(cases.cuts)) {
    await test(`${name}: cut, ${label}`, async () => {
      const from = await tap("open");
      const to = at(from.address, { suffix: `-${slot}` });
      const error = await measured(name, label, from, ask, to, `mock:tokens=30,${expected.script};`);
      const text = said(error);
      assert.equal(await from.requests(), 1);
      assert(text.includes("provider"), text);
      assert.match(text, reference);
      assert(text.includes(expected.codes[family]) || (dialect === "openai-responses" && text.includes("server_error")), text);
      assert(to.text && whole.text.startsWith(to.text) && to.text !== whole.text, `the client had seen ${to.text}`);
    });
    await ask(at(stage.open, { suffix: `-${slot}` }), cases.prompts.long);
  }
}

// Killed while an answer is under way, and asked again: one request each time, and it is told by which lever.
async function kills([name, family, dialect, streams, ask], number) {
  const whole = at(stage.mock);
  if (streams) await ask(whole, "mock:tokens=600;");
  for (const [label, script] of Object.entries(cases.kills)) {
    const suffix = `-k${number}-${label.split(" ").at(-1)}`;
    let lever;
    const killed = async (from, error, within) => {
      const text = said(error);
      assert.equal(await from.requests(), 1);
      assert(text.includes(`${cases.killed.words} (ref ${lever})`), text);
      // The AI SDK shows the code of `response.failed`, whose vocabulary is the provider's.
      const codes = [cases.killed[within ? "within" : "at once"][family], ...(within && dialect === "openai-responses" ? ["invalid_prompt"] : [])];
      assert(codes.some((code) => text.includes(code)), text);
    };
    await test(`${name}: ${label}`, async () => {
      const from = await tap("open");
      const to = at(from.address, { suffix });
      const [pulled, raised] = await Promise.allSettled([
        killUnderWay(from, to.model(family), streams), measured(name, label, from, ask, to, `mock:${script};`)]);
      for (const one of [raised, pulled]) if (one.status === "rejected") throw one.reason;
      lever = pulled.value;
      await killed(from, raised.value, streams);
      if (streams) assert(to.text && whole.text.startsWith(to.text) && to.text !== whole.text, `the client had seen ${to.text}`);
    });
    await test(`${name}: ${label}, asked again`, async () => {
      const from = await tap("open");
      const error = await measured(name, `${label}, asked again`, from, ask, at(from.address, { suffix }), cases.prompts.text);
      await killed(from, error, false);
    });
  }
}

// Of two calls at once one is killed, before and behind the other: the SDK has the other one and the text, and no more.
async function killedTools([name, family, , , ask], number) {
  const { calls, script } = cases.tools;
  for (const [killed, left] of [["weather", "clock"], ["clock", "weather"]]) {
    await test(`${name}: of two tools ${killed} is killed`, async () => {
      const from = await tap("open");
      const to = at(from.address, { suffix: `-t${number}-but-${left}` });
      const before = plain(await ask(at(stage.open, { suffix: to.suffix }), script));
      for (const word of [killed, calls[killed]]) assert(before.includes(word), before);
      await kill({ scope: `tool:${killed}+model:${to.model(family)}` });
      const got = plain(await ask(to, script));
      for (const word of ["Both", left, calls[left]]) assert(got.includes(word), got);
      for (const word of [killed, calls[killed]]) assert(!got.includes(word), got);
      assert.equal(await from.requests(), 1);
    });
  }
}

async function passthrough() {
  const pair = (label, run) => test(label, async () => same(plain(await run(at(stage.mock))), plain(await run(at(stage.open)))));
  const list = async (pages) => { const items = []; for await (const item of pages) items.push(item); return items; };
  await pair("openai models.list", async (to) => list(await openai(to).models.list()));
  await pair("openai embeddings", (to) => openai(to).embeddings.create({ model: "text-embedding-3-small", input: ["x", "y"] }));
  await pair("anthropic models.list", async (to) => list(await claude({ ...to, url: () => to.url("/anthropic") }).models.list()));
  await pair("anthropic count_tokens", (to) => claude(to).messages.countTokens({ model: models.anthropic, messages: user("How many?") }));
  await pair("@google/genai models.list", async (to) => list(await google(to).models.list()));
  await pair("@google/genai count_tokens", async (to) => told(await google(to).models.countTokens({ model: models.gemini, contents: "How many?" })));
  // Tools that the SDK itself runs, the results sent back, to the final text.
  const running = {
    weather: tool({ inputSchema: jsonSchema(schema), execute: async ({ city }) => `rain in ${city}` }),
    clock: tool({ inputSchema: jsonSchema(schema), execute: async () => "noon" }),
  };
  for (const [name, , , model] of vercel) {
    await pair(`${name}: an agent's loop`, async (to) => {
      const stopWhen = (isStepCount ?? stepCountIs)(4);
      const answer = await generateText({ model: model(to), prompt: cases.prompts["parallel tools"], tools: running, stopWhen });
      assert(answer.text && answer.steps.length === 2, `${answer.steps.length} steps`);
      return [answer.text, answer.steps.map((step) => step.content)];
    });
  }
}

// Clients wait more than they work: sixteen at a time.
const jobs = clients.flatMap((client, number) => [
  () => failures(client, stage.slots[number]), () => kills(client, number), () => killedTools(client, number), () => answers(client)]);
jobs.push(passthrough);
await Promise.all(Array.from({ length: 16 }, async () => {
  for (let job = jobs.shift(); job; job = jobs.shift()) await job();
}));

const manifest = JSON.parse(readFileSync(join(process.env.CLIENTS_NODE, "package.json"), "utf8")).dependencies;
const versions = Object.keys(manifest).filter((name) => name !== "zod" && name !== "node").map((name) => `${name} ${manifest[name]}`);
notes({ title: process.env.CLIENTS_TITLE, versions: `Node ${process.versions.node}; ${versions.join(", ")}`, passed, failed });
process.exit(0);
