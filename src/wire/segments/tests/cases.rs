//! Every construct of every dialect.

use super::*;

/// A text as a line: message, kind, how it joins (`^` begins, `+` continues), `'` if it is nested,
/// `!` if it has no place, and what it says.
fn line(segment: &Segment<'_>) -> String {
    let join = match segment.join {
        Join::Alone => "",
        Join::Begins => "^",
        Join::Continues => "+",
    };
    let nested = if segment.nested { "'" } else { "" };
    let place = if segment.span.is_some() { "" } else { "!" };
    format!("{} {:?}{join}{nested}{place} {}", segment.message, segment.kind, segment.text)
}

fn check(dialect: Option<Dialect>, body: &str, expected: &[&str]) {
    let told = segments(dialect, body.as_bytes()).unwrap();
    let lines: Vec<String> = told.iter().map(line).collect();
    assert_eq!(lines, expected, "{body}");
    check_places(dialect, body.as_bytes());
}

const CHAT: Option<Dialect> = Some(Dialect::OpenaiChat);
const RESPONSES: Option<Dialect> = Some(Dialect::OpenaiResponses);
const ANTHROPIC: Option<Dialect> = Some(Dialect::Anthropic);
const GEMINI: Option<Dialect> = Some(Dialect::Gemini);
const BEDROCK: Option<Dialect> = Some(Dialect::Bedrock);

#[test]
fn chat_turns() {
    check(
        CHAT,
        r#"{"model":"gpt","temperature":0.7,"stream":true,"messages":[
            {"role":"system","content":"Be kind."},
            {"role":"developer","content":""},
            {"content":[{"type":"text","text":"Look "},
                {"text":"at this","type":"text","cache_control":{"type":"ephemeral","ttl":"5m"}},
                {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
                {"type":"text","text":"now"}],"role":"user","name":"ann"},
            {"role":"assistant","content":null,"reasoning_content":"hm","refusal":"no"},
            {"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"sunny"}]},
            {"role":"function","name":"old","content":"42"},
            {"role":"wizard","content":"abra"},
            {"content":"who?"}
        ]}"#,
        &[
            "0 System^ Be kind.",
            "2 User^ Look ",
            "2 User+ at this",
            "2 Other https://x/y.png",
            "2 Other low",
            "2 User^ now",
            "2 User ann",
            "3 History hm",
            "3 History no",
            "4 ToolResult^ sunny",
            "5 ToolName old",
            "5 ToolResult^ 42",
            "6 Other^ abra",
            "7 Other^ who?",
        ],
    );
}

#[test]
fn chat_calls() {
    check(
        CHAT,
        r#"{"messages":[{"role":"assistant","content":"So:","tool_calls":[
            {"id":"call_1","type":"function","function":{"name":"get",
                "arguments":"{\"city\":\"S\\u00e3o \\\"P\\\"\\n\",\"n\":4111,\"ok\":true,\"\":[\"\\ud83c\\udf89x\"]}"}},
            {"id":"c2","type":"custom","custom":{"name":"sh","input":"ls -l"}},
            {"function":{"name":"list","arguments":" [1] "}},
            {"function":{"name":"half","arguments":"{\"a\":\"b"}},
            {"function":{"name":"own","arguments":{"a":["b",7]}}}]},
            {"role":"assistant","function_call":{"name":"old","arguments":"not json"}}]}"#,
        &[
            "0 History^ So:",
            "0 ToolName get",
            "0 ToolArguments' city",
            "0 ToolArguments' São \"P\"\n",
            "0 ToolArguments' n",
            "0 ToolArguments' 4111",
            "0 ToolArguments' ok",
            "0 ToolArguments' 🎉x",
            "0 ToolName sh",
            "0 ToolArguments ls -l",
            "0 ToolName list",
            "0 ToolArguments' 1",
            "0 ToolName half",
            "0 ToolArguments {\"a\":\"b",
            "0 ToolName own",
            "0 ToolArguments a",
            "0 ToolArguments b",
            "0 ToolArguments 7",
            "1 ToolName old",
            "1 ToolArguments not json",
        ],
    );
}

#[test]
fn chat_files() {
    check(
        CHAT,
        r#"{"messages":[{"role":"user","content":[
            {"type":"text","text":"a"},
            {"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;base64,aGVsbG8gd29ybGQ="}},
            {"type":"text","text":"b"},
            {"type":"file","file":{"file_id":"file-1","file_data":"data:application/pdf;base64,aGVsbG8gd29ybGQ="}},
            {"type":"file","file":{"file_data":"aGVsbG8gd29ybGQ"}},
            {"type":"file","file":{"file_data":"no base64!"}},
            {"type":"image_url","image_url":"DATA:image/png;base64,aGVsbG8gd29ybGQ="},
            {"type":"image_url","image_url":{"url":"data:image/svg+xml,%3Csvg%3Ehi%3C/svg%3E"}},
            {"type":"input_audio","input_audio":{"data":"aGVsbG8gd29ybGQ=","format":"mp3"}},
            {"type":"new","note":"hey","novel":{"inner":["deep"]}},
            {"type":"text","text":"c"},{"type":"new"},{"type":"text","text":"d"}]}]}"#,
        &[
            "0 User^ a",
            "0 Document a.txt",
            "0 Document! hello world",
            "0 User^ b",
            "0 Document! hello world",
            "0 Document no base64!",
            "0 Document! <svg>hi</svg>",
            "0 Other mp3",
            "0 Other hey",
            "0 Other inner",
            "0 Other deep",
            "0 User^ c",
            "0 User+ d",
        ],
    );
}

#[test]
fn chat_tools_and_the_rest() {
    check(
        CHAT,
        r#"{"tools":[{"type":"function","function":{"name":"get","description":"Gets.","strict":true,
                "parameters":{"type":"object","properties":{"city":{"type":"string","description":"Where","enum":["A",1]},
                    "type":{"type":["string","null","evil"]}},"required":["city"],"x-note":"hidden","maxLength":5}}},
            {"type":"custom","custom":{"name":"sh","format":{"type":"grammar","grammar":{"definition":"x: y"}}}}],
            "functions":[{"name":"old","description":"d"}],
            "tool_choice":{"type":"function","function":{"name":"get"}},
            "response_format":{"type":"json_schema","json_schema":{"name":"R","schema":{"title":"T"}}},
            "prediction":{"type":"content","content":[{"type":"text","text":"old"}]},
            "stop":["END","FIN"],"metadata":{"a":"b"},"user":"u-1","logit_bias":{"50256":-100},"n":2}"#,
        &[
            "0 ToolDefinition get",
            "0 ToolDefinition Gets.",
            "0 ToolDefinition city",
            "0 ToolDefinition Where",
            "0 ToolDefinition A",
            "0 ToolDefinition 1",
            "0 ToolDefinition type",
            "0 ToolDefinition evil",
            "0 ToolDefinition city",
            "0 ToolDefinition x-note",
            "0 ToolDefinition hidden",
            "1 ToolDefinition sh",
            "1 ToolDefinition grammar",
            "1 ToolDefinition definition",
            "1 ToolDefinition x: y",
            "2 ToolDefinition old",
            "2 ToolDefinition d",
            "3 ToolName get",
            "4 ToolDefinition R",
            "4 ToolDefinition T",
            "5 Document^ old",
            "6 Other END",
            "6 Other FIN",
            "7 Other a",
            "7 Other b",
        ],
    );
}

#[test]
fn responses() {
    check(
        RESPONSES,
        r#"{"instructions":"Be brief.","input":"Hello","model":"m","previous_response_id":"resp_1"}"#,
        &["0 System^ Be brief.", "1 User^ Hello"],
    );
    check(
        RESPONSES,
        r#"{"input":[
            {"role":"user","content":"plain"},
            {"type":"message","role":"developer","content":[{"type":"input_text","text":"dev"}]},
            {"type":"message","role":"assistant","id":"msg_1","status":"completed","content":[
                {"type":"output_text","text":"an","annotations":[{"type":"url_citation","title":"T","url":"https://u"}],"logprobs":[{"token":"an"}]},
                {"type":"output_text","text":"swer","annotations":[]},{"type":"refusal","refusal":"no"}]},
            {"type":"reasoning","id":"rs_1","encrypted_content":"x","summary":[{"type":"summary_text","text":"thought"}],"content":[{"type":"reasoning_text","text":"raw"}]},
            {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":\"b\"}"},
            {"type":"function_call_output","call_id":"c1","output":"done"},
            {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"li"},{"type":"input_text","text":"st"},{"type":"input_file","filename":"n.csv","file_data":"data:text/csv;base64,YSxi"}]},
            {"type":"custom_tool_call","call_id":"c3","name":"sh","input":"ls"},
            {"type":"custom_tool_call_output","call_id":"c3","output":"files"},
            {"type":"file_search_call","id":"fs","queries":["q"],"results":[{"file_id":"f","filename":"n.md","text":"found","attributes":{"k":"v"}}]},
            {"type":"web_search_call","action":{"type":"search","query":"weather"}},
            {"type":"code_interpreter_call","code":"print()","outputs":[{"type":"logs","logs":"out"},{"type":"image","url":"data:image/png;base64,AAAA"}]},
            {"type":"shell_call_output","output":[{"stdout":"so","stderr":"se"}]},
            {"type":"mcp_call","name":"ask","server_label":"deep","arguments":"{}","output":"said","error":"bad"},
            {"type":"mcp_list_tools","server_label":"deep","tools":[{"name":"ask","description":"asks","input_schema":{"properties":{"q":{}}}}]},
            {"type":"mcp_approval_request","name":"ask","arguments":"{\"q\":\"w\"}"},
            {"type":"mcp_approval_response","approve":true,"reason":"because"},
            {"type":"image_generation_call","result":"aGVsbG8gd29ybGQ=","revised_prompt":"a cat"},
            {"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"data:image/png;base64,AAAA"}},
            {"type":"item_reference","id":"msg_2"},
            {"type":"novelty","words":"new"}
        ]}"#,
        &[
            "0 User^ plain",
            "1 System^ dev",
            "2 History^ an",
            "2 Citation title",
            "2 Citation T",
            "2 Citation url",
            "2 Citation https://u",
            "2 History+ swer",
            "2 History no",
            "3 History^ thought",
            "3 History^ raw",
            "4 ToolName f",
            "4 ToolArguments' a",
            "4 ToolArguments' b",
            "5 ToolResult^ done",
            "6 ToolResult^ li",
            "6 ToolResult+ st",
            "6 Document n.csv",
            "6 Document! a,b",
            "7 ToolName sh",
            "7 ToolArguments ls",
            "8 ToolResult^ files",
            "9 ToolArguments q",
            "9 Document n.md",
            "9 Document found",
            "9 Document k",
            "9 Document v",
            "10 ToolArguments type",
            "10 ToolArguments search",
            "10 ToolArguments query",
            "10 ToolArguments weather",
            "11 ToolArguments print()",
            "11 ToolResult out",
            "12 ToolResult so",
            "12 ToolResult se",
            "13 ToolName ask",
            "13 ToolArguments deep",
            "13 ToolResult^ said",
            "13 ToolResult bad",
            "14 ToolDefinition deep",
            "14 ToolDefinition ask",
            "14 ToolDefinition asks",
            "14 ToolDefinition q",
            "15 ToolName ask",
            "15 ToolArguments' q",
            "15 ToolArguments' w",
            "16 User because",
            "17 History a cat",
            "20 Other new",
        ],
    );
    check(
        RESPONSES,
        r#"{"tools":[{"type":"function","name":"f","description":"d","parameters":{"properties":{"p":{"description":"pd"}}}},
            {"type":"mcp","server_label":"deep","server_url":"https://mcp","authorization":"tok","headers":{"x":"y"},"allowed_tools":["ask"]},
            {"type":"namespace","name":"ns","tools":[{"name":"g"}]}],
            "text":{"format":{"type":"json_schema","name":"N","schema":{"properties":{"s":{"type":"string"}}}},"verbosity":"low"},
            "prompt":{"id":"pmpt_1","variables":{"who":"Ann","what":{"type":"input_text","text":"cake"}}},
            "tool_choice":"auto","include":["reasoning.encrypted_content"]}"#,
        &[
            "0 ToolDefinition f",
            "0 ToolDefinition d",
            "0 ToolDefinition p",
            "0 ToolDefinition pd",
            "1 ToolDefinition deep",
            "1 ToolDefinition https://mcp",
            "1 ToolDefinition ask",
            "2 ToolDefinition ns",
            "2 ToolDefinition g",
            "3 ToolDefinition N",
            "3 ToolDefinition s",
            "3 Other low",
            "4 User^ Ann",
            "4 User^ cake",
            "5 Other auto",
            "6 Other reasoning.encrypted_content",
        ],
    );
}

#[test]
fn anthropic() {
    check(
        ANTHROPIC,
        r#"{"model":"claude","max_tokens":9,"system":[{"type":"text","text":"You "},{"type":"text","text":"help.","cache_control":{"type":"ephemeral","ttl":"1h"}}],
        "messages":[
            {"role":"user","content":"hi"},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"xyz"},
                {"type":"text","text":"an","citations":[{"type":"char_location","cited_text":"quoted","document_title":"T"}]},{"text":"swer","type":"text"},
                {"type":"tool_use","id":"tu","name":"get","input":{"city":"Rome","n":[4111]},"caller":{"type":"direct"}},
                {"type":"server_tool_use","id":"st","name":"web_search","input":{"query":"q"}}]},
            {"role":"user","content":[
                {"content":"sunny","type":"tool_result","tool_use_id":"tu"},
                {"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},
                    {"type":"search_result","source":"https://s","title":"ST","content":[{"type":"text","text":"sr"}]},
                    {"type":"document","source":{"type":"text","media_type":"text/plain","data":"doc"},"title":"DT","context":"ctx"}]},
                {"type":"tool_result","content":[{"type":"text","text":"c"}]},
                {"type":"text","text":"and"},{"type":"text","text":" so"},
                {"type":"image","source":{"data":"aGVsbG8gd29ybGQ=","media_type":"image/png","type":"base64"}},
                {"type":"text","text":"on"}]},
            {"role":"user","content":[
                {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"aGVsbG8gd29ybGQ="},"citations":{"enabled":true}},
                {"type":"document","source":{"type":"base64","media_type":"text/plain","data":"aGVsbG8gd29ybGQ="}},
                {"type":"document","source":{"type":"content","content":[{"type":"text","text":"c1"},{"type":"text","text":"c2"}]}},
                {"type":"document","source":{"type":"content","content":"c3"}},
                {"type":"document","source":{"type":"url","url":"https://d"}},
                {"type":"document","source":{"type":"file","file_id":"file_1"}},
                {"type":"web_search_tool_result","tool_use_id":"st","content":[{"type":"web_search_result","title":"WT","url":"https://w","encrypted_content":"e"}]},
                {"type":"web_fetch_tool_result","content":{"type":"web_fetch_result","url":"https://f","content":{"type":"document","source":{"type":"text","data":"page"}}}},
                {"type":"code_execution_tool_result","content":{"type":"code_execution_result","stdout":"so","stderr":"","return_code":0}},
                {"type":"mcp_tool_result","tool_use_id":"m","content":[{"type":"text","text":"mcp"}]},
                {"type":"novelty","text":"new","words":"w"}]}
        ]}"#,
        &[
            "0 System^ You ",
            "0 System+ help.",
            "1 User^ hi",
            "2 History! hm",
            "2 History^ an",
            "2 Citation cited_text",
            "2 Citation quoted",
            "2 Citation document_title",
            "2 Citation T",
            "2 History+ swer",
            "2 ToolName get",
            "2 ToolArguments city",
            "2 ToolArguments Rome",
            "2 ToolArguments n",
            "2 ToolArguments 4111",
            "2 ToolName web_search",
            "2 ToolArguments query",
            "2 ToolArguments q",
            "3 ToolResult^ sunny",
            "3 ToolResult^ a",
            "3 ToolResult+ b",
            "3 Document^ https://s",
            "3 Document ST",
            "3 Document^ sr",
            "3 Document^ doc",
            "3 Document DT",
            "3 Document ctx",
            "3 ToolResult^ c",
            "3 User^ and",
            "3 User+  so",
            "3 User^ on",
            "4 Other enabled",
            "4 Document! hello world",
            "4 Document^ c1",
            "4 Document+ c2",
            "4 Document^ c3",
            "4 Other https://d",
            "4 Document WT",
            "4 Document https://w",
            "4 ToolResult https://f",
            "4 Document^ page",
            "4 ToolResult so",
            "4 ToolResult^ mcp",
            "4 User^ new",
            "4 Other w",
        ],
    );
    check(
        ANTHROPIC,
        r#"{"system":"One.","tools":[{"name":"get","description":"Gets","input_schema":{"type":"object","properties":{"city":{"description":"Where"}}},"input_examples":[{"city":"Rome"}]},
            {"type":"web_search_20250305","name":"web_search","allowed_domains":["x.org"]}],
            "mcp_servers":[{"type":"url","name":"deep","url":"https://mcp","authorization_token":"tok","tool_configuration":{"allowed_tools":["ask"]}}],
            "tool_choice":{"type":"tool","name":"get"},"metadata":{"user_id":"u"},"stop_sequences":["END"],
            "output_config":{"effort":"low","format":{"type":"json_schema","schema":{"properties":{"s":{"title":"T"}}}}}}"#,
        &[
            "0 System^ One.",
            "1 ToolDefinition get",
            "1 ToolDefinition Gets",
            "1 ToolDefinition city",
            "1 ToolDefinition Where",
            "1 ToolDefinition city",
            "1 ToolDefinition Rome",
            "2 ToolDefinition web_search",
            "2 ToolDefinition x.org",
            "3 ToolDefinition deep",
            "3 ToolDefinition https://mcp",
            "3 ToolDefinition allowed_tools",
            "3 ToolDefinition ask",
            "4 ToolName get",
            "6 Other END",
            "7 ToolDefinition low",
            "7 ToolDefinition s",
            "7 ToolDefinition T",
        ],
    );
}

#[test]
fn gemini() {
    check(
        GEMINI,
        r#"{"systemInstruction":{"role":"user","parts":[{"text":"Be "},{"text":"kind."}]},"system_instruction":"Or not.",
        "contents":[
            {"role":"user","parts":[{"text":"a"},{"text":"b"},{"inlineData":{"mimeType":"image/png","data":"aGVsbG8gd29ybGQ="}},{"text":"c"}]},
            {"parts":[{"inline_data":{"data":"aGVsbG8gd29ybGQ=","mime_type":"text/markdown","display_name":"n.md"}},{"inlineData":{"data":"aGVsbG8gd29ybGQ="}},{"inlineData":{"data":"AAAA"}},{"inlineData":{"data":"aGVs bG8=","mimeType":"text/plain"}}]},
            {"role":"model","parts":[{"thought":true,"text":"hm","thoughtSignature":"sig"},{"functionCall":{"id":"1","name":"get","args":{"city":"Rome","n":4111}},"thought_signature":"sig"}]},
            {"role":"function","parts":[{"functionResponse":{"id":"1","name":"get","response":{"output":{"weather":"sunny","type":"x"}},"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}}]},
            {"role":"user","parts":[{"function_response":{"name":"get","response":{"r":["x",1]}}},{"fileData":{"fileUri":"gs://b/f","mimeType":"text/plain"}}]},
            {"role":"model","parts":[{"executableCode":{"language":"PYTHON","code":"print()"}},{"code_execution_result":{"outcome":"OUTCOME_OK","output":"out"}},{"novel":{"x":"y"}}]}
        ],
        "tools":[{"functionDeclarations":[{"name":"get","description":"Gets","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING","description":"Where"}}}}]},
            {"function_declarations":[{"name":"g2","parameters_json_schema":{"title":"T"}}]},{"googleSearch":{}}],
        "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["get"]}},
        "generationConfig":{"temperature":0,"stopSequences":["END"],"responseSchema":{"properties":{"s":{"type":"STRING"}}}},
        "cachedContent":"cachedContents/1"}"#,
        &[
            "0 System^ Be ",
            "0 System+ kind.",
            "1 System^ Or not.",
            "2 User^ a",
            "2 User+ b",
            "2 User^ c",
            "3 Document! hello world",
            "3 Document n.md",
            "3 Document! hello world",
            "3 Document AAAA",
            "3 Document! hello",
            "3 Document aGVs bG8=",
            "4 History^ hm",
            "4 ToolName get",
            "4 ToolArguments city",
            "4 ToolArguments Rome",
            "4 ToolArguments n",
            "4 ToolArguments 4111",
            "5 ToolName get",
            "5 ToolResult output",
            "5 ToolResult weather",
            "5 ToolResult sunny",
            "5 ToolResult type",
            "5 ToolResult x",
            "6 ToolName get",
            "6 ToolResult r",
            "6 ToolResult x",
            "6 ToolResult 1",
            "6 Other gs://b/f",
            "7 ToolArguments PYTHON",
            "7 ToolArguments print()",
            "7 ToolResult OUTCOME_OK",
            "7 ToolResult out",
            "7 Other x",
            "7 Other y",
            "8 ToolDefinition get",
            "8 ToolDefinition Gets",
            "8 ToolDefinition city",
            "8 ToolDefinition Where",
            "9 ToolDefinition g2",
            "9 ToolDefinition T",
            "11 Other functionCallingConfig",
            "11 Other mode",
            "11 Other ANY",
            "11 Other allowedFunctionNames",
            "11 Other get",
            "12 Other END",
            "12 ToolDefinition s",
        ],
    );
    check(
        GEMINI,
        r#"{"generateContentRequest":{"contents":[{"parts":[{"text":"count"}]},{"role":"user","parts":[{"text":"me"}]}]},
            "requests":[{"content":{"parts":[{"text":"embed"}]}}]}"#,
        &["0 User^ count", "0 User^ me", "1 User^ embed"],
    );
}

#[test]
fn bedrock() {
    check(
        BEDROCK,
        r#"{"system":[{"text":"Be "},{"cachePoint":{"type":"default"}},{"text":"kind."}],
        "messages":[
            {"role":"user","content":[{"text":"a"},{"cachePoint":{"type":"default"}},{"text":"b"},{"guardContent":{"text":{"text":"c","qualifiers":["query"]}}},
                {"image":{"format":"png","source":{"bytes":"aGVsbG8gd29ybGQ="}}},{"text":"d"},
                {"document":{"name":"N","source":{"bytes":"aGVsbG8gd29ybGQ="},"format":"txt"}},
                {"document":{"name":"P","source":{"bytes":"aGVsbG8gd29ybGQ="},"format":"pdf"}},
                {"document":{"name":"C","source":{"content":[{"text":"c1"},{"text":"c2"}]},"context":"ctx"}},
                {"document":{"name":"T","source":{"text":"plain"}}},
                {"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/k","bucketOwner":"1"}}}}]},
            {"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"sig"}}},{"reasoningContent":{"redactedContent":"AAAA"}},
                {"text":"an"},{"citationsContent":{"content":[{"text":"swer"}],"citations":[{"title":"T","sourceContent":[{"text":"quoted"}]}]}},
                {"toolUse":{"toolUseId":"1","name":"get","input":{"city":"Rome","n":4111}}}]},
            {"role":"user","content":[{"toolResult":{"toolUseId":"1","status":"success","content":[{"text":"r1"},{"text":"r2"},{"json":{"type":"t","n":7}},{"document":{"name":"D","source":{"bytes":"AAAA"}}}]}},
                {"searchResult":{"source":"https://s","title":"ST","content":[{"text":"sr"}]}},{"novel":{"x":"y"}}]}
        ],
        "toolConfig":{"tools":[{"toolSpec":{"name":"get","description":"Gets","inputSchema":{"json":{"properties":{"city":{"description":"Where"}}}}}},{"systemTool":{"name":"st"}},{"cachePoint":{"type":"default"}}],
            "toolChoice":{"tool":{"name":"get"}}},
        "inferenceConfig":{"maxTokens":5,"stopSequences":["END"]},
        "outputConfig":{"textFormat":{"type":"json_schema","structure":{"jsonSchema":{"name":"N","description":"D","schema":"{\"type\":\"object\",\"properties\":{\"s\":{\"title\":\"T\"}}}"}}}},
        "promptVariables":{"who":{"text":"Ann"}},
        "guardrailConfig":{"guardrailIdentifier":"g","guardrailVersion":"1"}}"#,
        &[
            "0 System^ Be ",
            "0 System+ kind.",
            "1 User^ a",
            "1 User+ b",
            "1 User+ c",
            "1 Other query",
            "1 User^ d",
            "1 Document N",
            "1 Document! hello world",
            "1 Document P",
            "1 Document C",
            "1 Document^ c1",
            "1 Document+ c2",
            "1 Document ctx",
            "1 Document T",
            "1 Document plain",
            "1 Other uri",
            "1 Other s3://b/k",
            "2 History! hm",
            "2 History^ an",
            "2 History^ swer",
            "2 Citation title",
            "2 Citation T",
            "2 Citation sourceContent",
            "2 Citation text",
            "2 Citation quoted",
            "2 ToolName get",
            "2 ToolArguments city",
            "2 ToolArguments Rome",
            "2 ToolArguments n",
            "2 ToolArguments 4111",
            "3 ToolResult^ r1",
            "3 ToolResult+ r2",
            "3 ToolResult type",
            "3 ToolResult t",
            "3 ToolResult n",
            "3 ToolResult 7",
            "3 Document D",
            "3 Document AAAA",
            "3 Document https://s",
            "3 Document ST",
            "3 Document^ sr",
            "3 Other x",
            "3 Other y",
            "4 ToolDefinition get",
            "4 ToolDefinition Gets",
            "4 ToolDefinition city",
            "4 ToolDefinition Where",
            "4 ToolDefinition name",
            "4 ToolDefinition st",
            "4 ToolName get",
            "5 Other maxTokens",
            "5 Other stopSequences",
            "5 Other END",
            "6 ToolDefinition N",
            "6 ToolDefinition D",
            "6 ToolDefinition' s",
            "6 ToolDefinition' T",
            "7 User^ Ann",
        ],
    );
}

#[test]
fn plain_bodies() {
    check(
        None,
        r#"{"model":"m","prompt":"Once","suffix":"end"}"#,
        &["0 User^ Once", "1 User^ end"],
    );
    check(None, r#"{"input":["a","b"],"model":"e"}"#, &["0 User^ a", "1 User^ b"]);
    check(
        None,
        r#"{"input":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}"#,
        &["0 User^ a"],
    );
    check(
        None,
        r#"{"input":"Say","instructions":"gently","voice":"alloy"}"#,
        &["0 User^ Say", "1 System^ gently", "2 Other alloy"],
    );
    check(
        None,
        r#"{"query":"q","documents":["d1",{"text":"d2"}]}"#,
        &["0 User^ q", "1 Document d1", "2 Document text", "2 Document d2"],
    );
    check(
        None,
        r#"{"system":"s","messages":[{"role":"user","content":"u","images":["AAAA"]},{"role":"tool","tool_name":"t","content":"r"}]}"#,
        &["0 System^ s", "1 User^ u", "2 ToolName t", "2 ToolResult^ r"],
    );
    check(
        None,
        r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"text","text":"u"}]}]}"#,
        &["0 Other bedrock-2023-05-31", "1 User^ u"],
    );
}
