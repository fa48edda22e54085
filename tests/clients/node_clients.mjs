// The official Node SDKs at their default settings, directly and through the gateway.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, existsSync, rmSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import assert from "node:assert/strict";

// Packages lie in a cache folder, not beside this file.
const require = createRequire(join(process.env.CLIENTS_NODE, "package.json"));
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: OpenAI } = await load("openai");
const { default: Anthropic } = await load("@anthropic-ai/sdk");
const { GoogleGenAI } = await load("@google/genai");
const { generateText, streamText, tool, jsonSchema } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");

const binary = process.env.FIREDOOR_BIN;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function startMock() {
  const child = spawn(binary, ["mock", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  const address = await new Promise((done) => child.stdout.once("data", (line) => done(line.toString().trim())));
  const requests = async () => (await (await fetch(`http://${address}/stats`)).json()).requests;
  return { child, address, requests };
}

async function startGateway(mock) {
  const folder = mkdtempSync(join(tmpdir(), "firedoor-clients-"));
  const route = (name, dialects, models, provider) =>
    `[[routes]]\nname = "${name}"\nmatch = { dialect = ${dialects}, model = ["${models}"] }\ntargets = [{ provider = "${provider}" }]\nretry = { attempts = 1 }\ntimeouts = { idle_ms = 700 }\n`;
  writeFileSync(join(folder, "routes.toml"),
    `[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\ndata_dir = "data"\n` +
    `[providers.openai]\ndialect = "openai"\nbase_url = "http://${mock}/v1"\n` +
    `[providers.anthropic]\ndialect = "anthropic"\nbase_url = "http://${mock}"\n` +
    `[providers.gemini]\ndialect = "gemini"\nbase_url = "http://${mock}"\n` +
    route("openai", '["openai-chat", "openai-responses"]', "gpt-*", "openai") +
    route("anthropic", '"anthropic"', "claude-*", "anthropic") +
    route("gemini", '"gemini"', "gemini-*", "gemini"));
  const child = spawn(binary, ["serve", "--config", join(folder, "routes.toml")], { stdio: "ignore" });
  const listen = join(folder, "data/listen.json");
  for (let tries = 0; !existsSync(listen); tries++) {
    assert(tries < 500, "the gateway did not start");
    await sleep(20);
  }
  await sleep(20);
  const address = JSON.parse(readFileSync(listen, "utf8")).data[0];
  return { child, address, stop: () => { child.kill("SIGKILL"); rmSync(folder, { recursive: true, force: true }); } };
}

let passed = 0, failed = 0;
async function test(name, check) {
  try {
    await check();
    passed++;
    console.log(`ok   ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL ${name}: ${error?.name}: ${String(error?.message).slice(0, 600)}`);
  }
}

const TEXT = "mock:text=R%C3%A9sum%C3%A9%20%F0%9F%8E%89%20%22quoted%22;";
const LONG = "mock:tokens=60;";
const TOOL = "mock:tool=weather:%7B%22city%22%3A%22Paris%22%7D;";
const TOOLS = "mock:tool=weather:%7B%22city%22%3A%22Paris%22%7D,tool=time:%7B%7D;";
const user = (content) => [{ role: "user", content }];

const openai = (base) => new OpenAI({ baseURL: `http://${base}/v1`, apiKey: "k" });
const claude = (base) => new Anthropic({ baseURL: `http://${base}`, apiKey: "k" });
const gemini = (base) => new GoogleGenAI({ apiKey: "k", httpOptions: { baseUrl: `http://${base}` } });
const tools = {
  weather: tool({ inputSchema: jsonSchema({ type: "object", properties: {} }) }),
  time: tool({ inputSchema: jsonSchema({ type: "object", properties: {} }) }),
};
const vercel = {
  "ai openai": (base) => createOpenAI({ baseURL: `http://${base}/v1`, apiKey: "k" })("gpt-4o"),
  "ai openai chat": (base) => createOpenAI({ baseURL: `http://${base}/v1`, apiKey: "k" }).chat("gpt-4o"),
  "ai anthropic": (base) => createAnthropic({ baseURL: `http://${base}/v1`, apiKey: "k" })("claude-haiku-4-5"),
  "ai compatible": (base) => createOpenAICompatible({ name: "x", baseURL: `http://${base}/v1`, apiKey: "k" })("gpt-4o"),
};

const ask = {
  "openai chat": async (base, prompt) => {
    const answer = await openai(base).chat.completions.create({ model: "gpt-4o", messages: user(prompt) });
    const { message, finish_reason } = answer.choices[0];
    return { content: message.content, calls: message.tool_calls?.map((call) => call.function), finish_reason, usage: answer.usage };
  },
  "openai chat stream": async (base, prompt) => {
    let text = "", args = "", finish;
    for await (const chunk of await openai(base).chat.completions.create({ model: "gpt-4o", messages: user(prompt), stream: true })) {
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? "";
        for (const call of choice.delta.tool_calls ?? []) args += `${call.index}${call.function?.name ?? ""}${call.function?.arguments ?? ""}`;
        finish = choice.finish_reason ?? finish;
      }
    }
    return { text, args, finish };
  },
  "openai responses": async (base, prompt) => {
    const answer = await openai(base).responses.create({ model: "gpt-4o", input: prompt });
    return { text: answer.output_text, calls: answer.output.filter((i) => i.type === "function_call").map((i) => [i.name, i.arguments]), status: answer.status };
  },
  "openai responses stream": async (base, prompt) => {
    let text = "", final;
    for await (const event of await openai(base).responses.create({ model: "gpt-4o", input: prompt, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.completed") final = event.response.output.map((i) => [i.type, i.name, i.arguments]);
    }
    return { text, final };
  },
  "anthropic": async (base, prompt) => {
    const answer = await claude(base).messages.create({ model: "claude-haiku-4-5", max_tokens: 500, messages: user(prompt) });
    return { blocks: answer.content.map((b) => [b.type, b.text, b.input]), stop: answer.stop_reason };
  },
  "anthropic stream": async (base, prompt) => {
    const answer = await claude(base).messages.stream({ model: "claude-haiku-4-5", max_tokens: 500, messages: user(prompt) }).finalMessage();
    return { blocks: answer.content.map((b) => [b.type, b.text, b.input]), stop: answer.stop_reason };
  },
  "genai": async (base, prompt) => {
    const answer = await gemini(base).models.generateContent({ model: "gemini-2.5-flash", contents: prompt });
    return answer.candidates[0].content.parts;
  },
  "genai stream": async (base, prompt) => {
    const parts = [];
    for await (const chunk of await gemini(base).models.generateContentStream({ model: "gemini-2.5-flash", contents: prompt })) {
      parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
    }
    return parts;
  },
};
for (const [name, model] of Object.entries(vercel)) {
  ask[name] = async (base, prompt) => {
    const answer = await generateText({ model: model(base), prompt, tools });
    return { text: answer.text, calls: answer.toolCalls.map((c) => [c.toolName, c.input]), finish: answer.finishReason };
  };
  ask[`${name} stream`] = async (base, prompt) => {
    let text = "", finish, wrong;
    const calls = [];
    for await (const part of streamText({ model: model(base), prompt, tools, onError: () => {} }).fullStream) {
      if (part.type === "text-delta") text += part.text;
      if (part.type === "tool-call") calls.push([part.toolName, part.input]);
      if (part.type === "finish") finish = part.finishReason;
      if (part.type === "error") wrong = part.error;
    }
    if (wrong) throw wrong instanceof Error ? wrong : Object.assign(new Error(JSON.stringify(wrong)), { name: "AiStreamError" });
    return { text, calls, finish };
  };
}

const mock = await startMock();
const gateway = await startGateway(mock.address);
const [direct, through] = [mock.address, gateway.address];

for (const [name, run] of Object.entries(ask)) {
  for (const [label, prompt] of [["text", TEXT], ["long", LONG], ["tool", TOOL], ["parallel tools", TOOLS]]) {
    await test(`${name}: ${label}`, async () => assert.deepEqual(await run(through, prompt), await run(direct, prompt)));
  }
}

async function raises(name, run, requests, word) {
  await test(name, async () => {
    const before = await mock.requests();
    let said;
    try { await run(); } catch (error) { said = `${error?.name} ${error?.message} ${JSON.stringify(error)}`; }
    assert(said !== undefined, "no exception: a broken answer was taken for a whole one");
    assert(said.includes(word), said);
    assert.equal((await mock.requests()) - before, requests);
  });
}

// Errors of the provider are counted as they would be without a gateway.
for (const [status, count] of [[400, 1], [429, 3], [500, 3]]) {
  for (const [where, base] of [["direct", direct], ["through", through]]) {
    await raises(`openai ${status} ${where}`, () => ask["openai chat"](base, `mock:status=${status};`), count, "");
    await raises(`anthropic ${status} ${where}`, () => ask.anthropic(base, `mock:status=${status};`), count, "");
  }
}
// Streams that break raise, with one request.
for (const fault of ["reset", "stall", "truncate"]) {
  const broken = `mock:tokens=30,fault=${fault},at=8;`;
  for (const name of ["openai chat stream", "openai responses stream", "anthropic stream", "genai stream", ...Object.keys(vercel).map((n) => `${n} stream`)]) {
    await raises(`${name} ${fault}`, () => ask[name](through, broken), 1, "");
  }
}
// Refusals of the gateway are final: one answer, and the provider never hears of it.
await raises("openai unknown model", () => openai(through).chat.completions.create({ model: "nope", messages: user("x") }), 0, "no route takes model");
await raises("anthropic unknown model", () => claude(through).messages.create({ model: "nope", max_tokens: 9, messages: user("x") }), 0, "no route takes model");
await raises("genai unknown model", () => gemini(through).models.generateContent({ model: "nope", contents: "x" }), 0, "no route takes model");

gateway.stop();
mock.child.kill("SIGKILL");
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
