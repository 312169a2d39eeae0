//! Whole documents as providers return them: their responses with everything that stands in them.

use super::{Reading, classes, native, totals, usage};
use crate::usage::response;
use crate::usage::response::Response;

/// The usage object of a chat completion with the members that are read alone.
pub(super) const CHAT_READ: &str = r#"{"prompt_tokens":100,"completion_tokens":9,"total_tokens":112,
    "prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":6},
    "completion_tokens_details":{"reasoning_tokens":3}}"#;

/// The usage object of a response with the members that are read alone.
pub(super) const RESPONSES_READ: &str = r#"{"input_tokens":100,"output_tokens":9,"total_tokens":112,
    "input_tokens_details":{"cached_tokens":5,"cache_write_tokens":6},
    "output_tokens_details":{"reasoning_tokens":3}}"#;

const CHAT: &str = r#"{
  "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
  "object": "chat.completion",
  "created": 1741569952,
  "model": "gpt-4.1-2025-04-14",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello! How can I assist you today?",
    "refusal": null, "annotations": []}, "logprobs": null, "finish_reason": "stop"}],
  "usage": {
    "prompt_tokens": 2006,
    "completion_tokens": 300,
    "total_tokens": 2306,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 4, "accepted_prediction_tokens": 7,
      "rejected_prediction_tokens": 9}
  },
  "service_tier": "default",
  "system_fingerprint": null
}"#;

const RESPONSES: &str = r#"{
  "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
  "object": "response",
  "created_at": 1741476542,
  "status": "completed",
  "error": null,
  "incomplete_details": null,
  "model": "gpt-5-2025-08-07",
  "output": [{"type": "message", "id": "msg_67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795b", "status": "completed",
    "role": "assistant", "content": [{"type": "output_text", "text": "In a peaceful grove", "annotations": []}]}],
  "reasoning": {"effort": null, "summary": null},
  "usage": {
    "input_tokens": 36,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 87,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 123
  },
  "user": null,
  "metadata": {}
}"#;

const MESSAGE: &str = r#"{
  "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF",
  "type": "message",
  "role": "assistant",
  "model": "claude-sonnet-4-5-20250929",
  "content": [{"type": "text", "text": "Hi! My name is Claude."}],
  "stop_reason": "end_turn",
  "stop_sequence": null,
  "usage": {
    "input_tokens": 2095,
    "cache_creation_input_tokens": 556,
    "cache_read_input_tokens": 18000,
    "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 100},
    "output_tokens": 503,
    "server_tool_use": {"web_search_requests": 2},
    "service_tier": "standard"
  }
}"#;

const CONTENT: &str = r#"{
  "candidates": [{"content": {"parts": [{"text": "Hello"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
  "usageMetadata": {
    "promptTokenCount": 1000,
    "candidatesTokenCount": 200,
    "totalTokenCount": 1390,
    "cachedContentTokenCount": 600,
    "toolUsePromptTokenCount": 40,
    "thoughtsTokenCount": 150,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 900}, {"modality": "IMAGE", "tokenCount": 100}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 600}],
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 200}],
    "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 40}],
    "trafficType": "ON_DEMAND"
  },
  "modelVersion": "gemini-2.5-flash",
  "createTime": "2026-03-01T10:00:00Z",
  "responseId": "abc-DEF_123"
}"#;

#[test]
fn whole_responses_give_their_usage_model_and_id() {
    for (document, at, model, id, wanted, sums) in [
        (
            CHAT,
            "usage",
            "gpt-4.1-2025-04-14",
            "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            [86, 1920, 0, 172, 128],
            [2006, 300, 2306],
        ),
        (
            RESPONSES,
            "usage",
            "gpt-5-2025-08-07",
            "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
            [36, 0, 0, 23, 64],
            [36, 87, 123],
        ),
        (
            MESSAGE,
            "usage",
            "claude-sonnet-4-5-20250929",
            "msg_013Zva2CMHLNnXjNJJKqJ2EF",
            [2095, 18_000, 556, 503, 0],
            [20_651, 503, 21_154],
        ),
        (CONTENT, "usageMetadata", "gemini-2.5-flash", "abc-DEF_123", [440, 600, 0, 200, 150], [1040, 350, 1390]),
    ] {
        let Response { usage: found, model: found_model, id: found_id } = response(document);
        assert_eq!((found_model.as_deref(), found_id.as_deref()), (Some(model), Some(id)));
        let (name, object) = found[0];
        assert!(name == at, "{name}");
        let usage = usage(native(object));
        assert_eq!((classes(usage), totals(usage), usage.conflict), (wanted, sums, false), "{object}");
    }
}

#[test]
fn usage_objects_of_compatible_servers_give_their_numbers() {
    for (object, wanted) in [
        // A router, with a price and its own count of images.
        (
            r#"{"prompt_tokens":194,"completion_tokens":2,"total_tokens":196,"cost":0.95,"is_byok":false,
            "prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"cost_details":{"upstream_inference_cost":19},
            "completion_tokens_details":{"reasoning_tokens":0,"image_tokens":0}}"#,
            [194, 0, 0, 2, 0],
        ),
        // Reasoning beside the completion.
        (
            r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"num_sources_used":0,
            "prompt_tokens_details":{"text_tokens":32,"audio_tokens":0,"image_tokens":0,"cached_tokens":6},
            "completion_tokens_details":{"reasoning_tokens":94,"audio_tokens":0}}"#,
            [26, 6, 0, 9, 94],
        ),
        // A local server, which knows no details.
        (
            r#"{"prompt_tokens":7,"total_tokens":17,"completion_tokens":10,"prompt_tokens_details":null}"#,
            [7, 0, 0, 10, 0],
        ),
        // A gateway that writes the members of the other shape as well.
        (
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"input_tokens":0,"output_tokens":0,
            "input_tokens_details":null}"#,
            [10, 0, 0, 5, 0],
        ),
        // The realtime protocol.
        (
            r#"{"total_tokens":253,"input_tokens":132,"output_tokens":121,"input_token_details":{"text_tokens":119,
            "audio_tokens":13,"image_tokens":0,"cached_tokens":64,"cached_tokens_details":{"text_tokens":64}},
            "output_token_details":{"text_tokens":30,"audio_tokens":91}}"#,
            [68, 64, 0, 121, 0],
        ),
    ] {
        let usage = usage(native(object));
        assert_eq!((classes(usage), usage.conflict), (wanted, false), "{object}");
    }
}

#[test]
fn a_member_of_another_type_is_not_the_one() {
    for object in [
        "{}",
        r#"{"usage":null,"model":null,"id":null}"#,
        r#"{"usage":5,"model":5,"id":5}"#,
        r#"{"usage":[],"model":{},"id":true}"#,
        r#"{"usage":"{}","model":"","id":"\ud800"}"#,
        r#"{"Usage":{},"MODEL":"m","_id":"i"}"#,
        "[]",
    ] {
        let Response { usage, model, id } = response(object);
        assert!(usage.iter().all(|(_, value)| native(value) == Reading::NotUsage), "{object}");
        assert_eq!((model, id), (None, None), "{object}");
    }
    let second = r#"{"usage":null,"usage_metadata":{"a":1},"model_version":"m","response_id":"i\u0031"}"#;
    let found = response(second);
    assert_eq!(found.usage, [("usage", "null"), ("usage_metadata", r#"{"a":1}"#)]);
    assert_eq!((found.model.as_deref(), found.id.as_deref()), (Some("m"), Some("i1")));
}
