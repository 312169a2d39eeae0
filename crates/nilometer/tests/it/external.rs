//! Access tokens of another issuer, whose keys and claims the settings name.

#![expect(clippy::disallowed_methods, reason = "an issuer dates its tokens by its own clock")]

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::harness::{Server, nilometer, run, stderr, stdout};

pub(crate) const ISSUER: &str = "https://id.example";
pub(crate) const AUDIENCE: &str = "nilometer-of-acme";

/// A sign-in that others trust.
pub(crate) struct Issuer(Ed25519KeyPair);

impl Issuer {
    pub(crate) fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    pub(crate) fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string()
    }

    /// A token of somebody, with other claims than the usual ones.
    pub(crate) fn token(&self, others: &[(&str, Value)]) -> String {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "kim", "exp": now + 300, "workspace": "acme", "role": "viewer",
        });
        for (name, value) in others {
            claims[*name] = value.clone();
        }
        let head = json!({"alg": "EdDSA", "typ": "JWT", "kid": "k"}).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn asked(server: &Server, bearer: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let bearer = format!("Bearer {bearer}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    server.send(method, path, &headers, body.to_owned())
}

/// The access token of the owner of a new workspace `acme`, beside which there is `beta`.
fn owner_of_acme(server: &Server, operator: &str) -> String {
    for id in ["acme", "beta"] {
        let body = json!({"id": id}).to_string();
        assert_eq!(asked(server, operator, "POST", "/v1/workspaces", &body).0, 201);
    }
    let owner = json!({"email": "ann@example.com", "role": "owner"}).to_string();
    let made = asked(server, operator, "POST", "/v1/workspaces/acme/members", &owner).1;
    let reset = json!({"token": made["password_reset"]["token"], "password": "correct horse"}).to_string();
    assert_eq!(server.post("/v1/auth/reset", reset).0, 204);
    let body = json!({"email": "ann@example.com", "password": "correct horse"}).to_string();
    server.post("/v1/auth/login", body).1["access_token"].as_str().unwrap().to_owned()
}

/// All of the settings or none of them, and keys that are some.
fn settings_without_one_of_them_are_refused(settings: [(&str, &str); 5]) {
    let folder = tempfile::tempdir().unwrap();
    let bad = file("{}");
    for (at, (missing, _)) in settings.iter().enumerate() {
        let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()]);
        for (other, (name, value)) in settings.iter().enumerate() {
            let value = if other == at { "" } else { value };
            command.env(format!("NILOMETER_{}", name.to_uppercase()), value);
        }
        let refused = command.output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{missing}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(missing), "{missing}: {}", stderr(&refused));
    }
    let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()]);
    for (name, value) in settings {
        let value = if name == "jwt_jwks_file" { bad.path().to_str().unwrap() } else { value };
        command.env(format!("NILOMETER_{}", name.to_uppercase()), value);
    }
    let refused = command.output().unwrap();
    assert!(refused.status.code() == Some(2) && stderr(&refused).contains("jwt_jwks_file"), "{}", stderr(&refused));
}

#[test]
fn f40_tokens_of_another_issuer_open_what_its_settings_and_the_workspace_allow() {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().to_str().unwrap();
    let made = run(&["admin", "create-key", "--operator", "--name", "op", "--data", at]);
    let operator: Value = serde_json::from_str(stdout(&made)).unwrap();
    let operator = operator["key"].as_str().unwrap();
    let (issuer, stranger) = (Issuer::new(7), Issuer::new(8));
    let jwks = file(&issuer.jwks());
    let settings = [
        ("jwt_issuer", ISSUER),
        ("jwt_audience", AUDIENCE),
        ("jwt_jwks_file", jwks.path().to_str().unwrap()),
        ("jwt_workspace_claim", "workspace"),
        ("jwt_role_claim", "role"),
    ];
    let text: Vec<_> = settings.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
    let config = file(&format!("profile = \"prod\"\n{}", text.concat()));
    let server = Server::with(data.path(), &["--config", config.path().to_str().unwrap()]);
    let owner = owner_of_acme(&server, operator);
    let status = |token: &str, path: &str| asked(&server, token, "GET", path, "").0;
    let token = issuer.token(&[]);
    assert_eq!(status(&token, "/v1/workspace"), 404, "the workspace does not take them");

    let takes = r#"{"external_tokens": true}"#;
    assert_eq!(asked(&server, operator, "PATCH", "/v1/workspaces/acme", takes).0, 400, "the operator cannot say so");
    assert_eq!(asked(&server, &owner, "PATCH", "/v1/workspace", takes).0, 200);
    let (_, entered) = asked(&server, &token, "GET", "/v1/workspace", "");
    assert_eq!((&entered["id"], &entered["role"]), (&json!("acme"), &json!("viewer")));
    assert_eq!((status(&token, "/v1/customers"), status(&token, "/v1/events")), (200, 403));
    let admin = issuer.token(&[("role", json!("admin")), ("aud", json!(["others", AUDIENCE]))]);
    assert_eq!(asked(&server, &admin, "POST", "/v1/projects", r#"{"id": "web"}"#).0, 201);
    assert_eq!(asked(&server, &admin, "PATCH", "/v1/workspace", r#"{"external_tokens": false}"#).0, 403);
    let log = asked(&server, &owner, "GET", "/v1/audit?action=project.create", "").1;
    let entry = &log["data"][0];
    // Found in November 2026: the actor was `external:kim`, in the chain that no erasure reaches.
    let id = entry["actor"].as_str().unwrap().strip_prefix("external:").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{log}");
    assert_eq!(entry["after"]["external_login"], json!({"user": "kim"}));
    let found = asked(&server, &owner, "GET", &format!("/v1/audit?actor=external:{id}&action=project.create"), "").1;
    assert_eq!(found["data"], log["data"]);

    let now = jiff::Timestamp::now().as_second();
    for (others, expected) in [
        (vec![("role", json!("operator"))], 401),
        (vec![("role", json!("root"))], 401),
        (vec![("role", Value::Null)], 401),
        (vec![("workspace", Value::Null)], 401),
        (vec![("workspace", json!("beta"))], 404),
        (vec![("workspace", json!("nowhere"))], 404),
        (vec![("iss", json!("https://other.example"))], 401),
        (vec![("aud", json!("nilometer"))], 401),
        (vec![("aud", json!([]))], 401),
        (vec![("exp", json!(now - 3_600))], 401),
        (vec![("exp", Value::Null)], 401),
        (vec![("nbf", json!(now + 3_600))], 401),
        (vec![("sub", Value::Null)], 401),
    ] {
        assert_eq!(status(&issuer.token(&others), "/v1/workspace"), expected, "{others:?}");
    }
    assert_eq!(status(&stranger.token(&[]), "/v1/workspace"), 401, "another key of the same name");
    assert_eq!(status(&issuer.token(&[("role", json!("owner"))]), "/v1/workspaces"), 403, "never the server");
    assert_eq!(asked(&server, &owner, "PATCH", "/v1/workspace", r#"{"external_tokens": false}"#).0, 200);
    assert_eq!(status(&token, "/v1/workspace"), 404, "at once");
    server.stop();
    settings_without_one_of_them_are_refused(settings);
}
