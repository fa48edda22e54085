// The official Node SDKs and the AI SDK: lines of JSON in, `{number, client, address, model}`, and out, what each was told or raised.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.CLIENTS_NODE, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { default: OpenAI } = await load("openai");
const { default: Anthropic } = await load("@anthropic-ai/sdk");
const { GoogleGenAI } = await load("@google/genai");
const { streamText } = await load("ai");
const { createOpenAI } = await load("@ai-sdk/openai");
const { createAnthropic } = await load("@ai-sdk/anthropic");
globalThis.AI_SDK_LOG_WARNINGS = false;
console.warn = console.error = () => {};

const apiKey = "key-of-the-caller";
const prompt = "Go on.";
const messages = [{ role: "user", content: prompt }];
const openai = (address) => new OpenAI({ baseURL: `http://${address}/v1`, apiKey });

async function vercel(model) {
  const told = { text: "", calls: [] };
  let wrong;
  for await (const part of streamText({ model, prompt, onError: () => {} }).fullStream) {
    if (part.type === "text-delta") told.text += part.text;
    if (part.type === "tool-call") told.calls.push([part.toolName, typeof part.input === "string" ? JSON.parse(part.input || "{}") : part.input]);
    if (part.type === "error") wrong = part.error;
  }
  if (wrong) throw wrong instanceof Error ? wrong : Object.assign(new Error(wrong?.message ?? JSON.stringify(wrong)), { code: wrong?.code });
  return told;
}

const clients = {
  "openai chat": async (address, model) => {
    const { choices: [{ message }] } = await openai(address).chat.completions.stream({ model, messages }).finalChatCompletion();
    return { text: message.content ?? "", calls: (message.tool_calls ?? []).map(({ function: f }) => [f.name, JSON.parse(f.arguments || "{}")]) };
  },
  "openai responses": async (address, model) => {
    const answer = await openai(address).responses.stream({ model, input: prompt }).finalResponse();
    const calls = answer.output.filter((item) => item.type === "function_call");
    return { text: answer.output_text, calls: calls.map((call) => [call.name, JSON.parse(call.arguments || "{}")]) };
  },
  "anthropic": async (address, model) => {
    const client = new Anthropic({ baseURL: `http://${address}`, apiKey });
    const { content } = await client.messages.stream({ model, max_tokens: 500, messages }).finalMessage();
    return {
      text: content.filter((block) => block.type === "text").map((block) => block.text).join(""),
      calls: content.filter((block) => block.type === "tool_use").map((block) => [block.name, block.input]),
    };
  },
  "@google/genai": async (address, model) => {
    const client = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: `http://${address}` } });
    const told = { text: "", calls: [] };
    for await (const chunk of await client.models.generateContentStream({ model, contents: prompt })) {
      for (const part of chunk.candidates?.[0]?.content?.parts ?? []) {
        if (part.functionCall) told.calls.push([part.functionCall.name, part.functionCall.args ?? {}]);
        else if (!part.thought) told.text += part.text ?? "";
      }
    }
    return told;
  },
  "ai, openai": (address, model) => vercel(createOpenAI({ baseURL: `http://${address}/v1`, apiKey })(model)),
  "ai, openai chat": (address, model) => vercel(createOpenAI({ baseURL: `http://${address}/v1`, apiKey }).chat(model)),
  "ai, anthropic": (address, model) => vercel(createAnthropic({ baseURL: `http://${address}/v1`, apiKey })(model)),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { number, client, address, model } = JSON.parse(line);
  let answer;
  try {
    answer = { told: await clients[client](address, model) };
  } catch (error) {
    const { name, message, code, status } = error ?? {};
    answer = { error: { name: name ?? typeof error, message: `${message} ${error?.responseBody ?? ""}`, code, status } };
  }
  process.stdout.write(`${JSON.stringify({ number, ...answer })}\n`);
}).on("close", () => process.exit());
