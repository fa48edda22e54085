// The official Node SDKs and the AI SDK: lines of JSON in, `{number, client, how, address, model, tools}`, and out, what each was
// told or raised. A client gets its answer `whole`, by reading the `stream`, or by the SDK's own `helper` that puts one together.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.CLIENTS_NODE, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: OpenAI } = await load("openai");
const { default: Anthropic } = await load("@anthropic-ai/sdk");
const { GoogleGenAI } = await load("@google/genai");
const { generateText, streamText, tool, jsonSchema } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
globalThis.AI_SDK_LOG_WARNINGS = false;
console.warn = console.error = () => {};

const apiKey = "key-of-the-caller";
const prompt = "Go on.";
const messages = [{ role: "user", content: prompt }];
const parameters = { type: "object", properties: { city: { type: "string" } } };
// A request without tools has no list of them.
const declared = (names, how) => (names.length ? { tools: names.map(how) } : {});
const read = (text) => JSON.parse(text || "{}");

// ---- OpenAI Chat

const chatCalls = (calls) => calls.map(({ function: called }) => [called.name, read(called.arguments)]);
const ofCompletion = ({ choices: [{ message, finish_reason: stop }] }) =>
  ({ text: message.content ?? "", calls: chatCalls(message.tool_calls ?? []), stop });
async function ofChunks(chunks) {
  const calls = [];
  let text = "", stop = "";
  for await (const { choices: [choice] } of chunks) {
    text += choice?.delta.content ?? "";
    stop = choice?.finish_reason ?? stop;
    for (const { index, function: called } of choice?.delta.tool_calls ?? []) {
      const held = (calls[index] ??= { function: { name: "", arguments: "" } }).function;
      held.name ||= called.name;
      held.arguments += called.arguments ?? "";
    }
  }
  // Left out by their number, calls would be holes here.
  return { text, calls: chatCalls([...calls]), stop };
}
const chat = {
  client: (address) => new OpenAI({ baseURL: `http://${address}/v1`, apiKey }).chat.completions,
  body: (model, names) => ({ model, messages, ...declared(names, (name) => ({ type: "function", function: { name, parameters } })) }),
  whole: async (client, body) => ofCompletion(await client.create(body)),
  stream: async (client, body) => ofChunks(await client.create({ ...body, stream: true })),
  helper: async (client, body) => ofCompletion(await client.stream(body).finalChatCompletion()),
};

// ---- OpenAI Responses

const ofResponse = ({ output, output_text: text, status, incomplete_details: why }) => {
  const calls = output.filter((item) => item.type === "function_call").map((call) => [call.name, read(call.arguments)]);
  return { text, calls, stop: why?.reason ?? status };
};
async function ofEvents(events) {
  const calls = {};
  let text = "", stop = "";
  for await (const event of events) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.output_item.added" && event.item.type === "function_call") calls[event.output_index] = [event.item.name, ""];
    if (event.type === "response.function_call_arguments.delta") calls[event.output_index][1] += event.delta;
    if (event.type === "response.completed" || event.type === "response.incomplete") stop = event.response.incomplete_details?.reason ?? event.response.status;
  }
  return { text, calls: Object.values(calls).map(([name, text]) => [name, read(text)]), stop };
}
const responses = {
  client: (address) => new OpenAI({ baseURL: `http://${address}/v1`, apiKey }).responses,
  body: (model, names) => ({ model, input: prompt, ...declared(names, (name) => ({ type: "function", name, parameters, strict: false })) }),
  whole: async (client, body) => ofResponse(await client.create(body)),
  stream: async (client, body) => ofEvents(await client.create({ ...body, stream: true })),
  helper: async (client, body) => ofResponse(await client.stream(body).finalResponse()),
};

// ---- Anthropic

const ofMessage = ({ content, stop_reason: stop }) => ({
  text: content.filter((block) => block.type === "text").map((block) => block.text).join(""),
  calls: content.filter((block) => block.type === "tool_use").map((block) => [block.name, block.input]),
  stop,
});
async function ofBlocks(events) {
  const calls = {};
  let text = "", stop = "";
  for await (const event of events) {
    if (event.type === "content_block_start" && event.content_block.type === "tool_use") calls[event.index] = [event.content_block.name, ""];
    if (event.delta?.type === "text_delta") text += event.delta.text;
    if (event.delta?.type === "input_json_delta" && calls[event.index]) calls[event.index][1] += event.delta.partial_json;
    if (event.type === "message_delta") stop = event.delta.stop_reason ?? stop;
  }
  return { text, calls: Object.values(calls).map(([name, text]) => [name, read(text)]), stop };
}
const claude = {
  client: (address) => new Anthropic({ baseURL: `http://${address}`, apiKey }).messages,
  body: (model, names) => ({ model, max_tokens: 500, messages, ...declared(names, (name) => ({ name, input_schema: parameters })) }),
  whole: async (client, body) => ofMessage(await client.create(body)),
  stream: async (client, body) => ofBlocks(await client.create({ ...body, stream: true })),
  helper: async (client, body) => ofMessage(await client.stream(body).finalMessage()),
};

// ---- Gemini

async function ofCandidates(chunks) {
  const told = { text: "", calls: [], stop: "" };
  for await (const { candidates: [candidate] = [] } of chunks) {
    told.stop = candidate?.finishReason ?? told.stop;
    for (const part of candidate?.content?.parts ?? []) {
      if (part.functionCall) told.calls.push([part.functionCall.name, part.functionCall.args ?? {}]);
      else if (!part.thought) told.text += part.text ?? "";
    }
  }
  return told;
}
const google = {
  client: (address) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: `http://${address}` } }).models,
  body: (model, names) => ({
    model, contents: prompt,
    ...(names.length && { config: { tools: [{ functionDeclarations: names.map((name) => ({ name, parametersJsonSchema: parameters })) }] } }),
  }),
  whole: async (client, body) => ofCandidates([await client.generateContent(body)]),
  stream: async (client, body) => ofCandidates(await client.generateContentStream(body)),
};

// ---- the AI SDK

const input = ({ toolName, input: given }) => [toolName, typeof given === "string" ? read(given) : given];
const vercel = (client) => ({
  client: (address) => (model) => client({ baseURL: `http://${address}/v1`, apiKey }, model),
  body: (model, names) => ({
    model, prompt, ...(names.length && { tools: Object.fromEntries(names.map((name) => [name, tool({ inputSchema: jsonSchema(parameters) })])) }),
  }),
  whole: async (client, { model, ...body }) => {
    const { text, toolCalls, finishReason: stop } = await generateText({ model: client(model), ...body });
    return { text, calls: toolCalls.map(input), stop };
  },
  stream: async (client, { model, ...body }) => {
    const told = { text: "", calls: [], stop: "" };
    let wrong;
    for await (const part of streamText({ model: client(model), ...body, onError: () => {} }).fullStream) {
      if (part.type === "text-delta") told.text += part.text;
      if (part.type === "tool-call") told.calls.push(input(part));
      if (part.type === "finish") told.stop = part.finishReason;
      if (part.type === "error") wrong = part.error;
    }
    if (wrong) throw wrong instanceof Error ? wrong : Object.assign(new Error(wrong?.message ?? JSON.stringify(wrong)), { code: wrong?.code });
    return told;
  },
});

const clients = {
  "openai chat": chat, "openai responses": responses, "anthropic": claude, "@google/genai": google,
  "ai, openai": vercel((options, model) => createOpenAI(options)(model)),
  "ai, openai chat": vercel((options, model) => createOpenAI(options).chat(model)),
  "ai, anthropic": vercel((options, model) => createAnthropic(options)(model)),
  "ai, openai-compatible": vercel((options, model) => createOpenAICompatible({ name: "x", ...options })(model)),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { number, client: name, how, address, model, tools } = JSON.parse(line);
  const client = clients[name];
  let answer;
  try {
    answer = { told: await client[how](client.client(address), client.body(model, tools)) };
  } catch (error) {
    const { name, message, code, status } = error ?? {};
    answer = { error: { name: name ?? typeof error, message: `${message} ${error?.responseBody ?? ""}`, code, status } };
  }
  process.stdout.write(`${JSON.stringify({ number, ...answer })}\n`);
}).on("close", () => process.exit());
