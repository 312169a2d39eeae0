//! The request headers of this API that its document names as parameters of the routes that take them. Credentials are
//! not among them: the document names those as security schemes.

use domain::limits::{IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX};
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

/// Names the workspace that a person means.
pub(crate) const WORKSPACE_HEADER: &str = "Nilometer-Workspace";
/// Makes a request safe to repeat.
pub(crate) const IDEMPOTENCY_KEY_HEADER: &str = "Idempotency-Key";

/// As routes that act in a workspace take it.
pub(crate) fn workspace() -> Parameter {
    let help = "The workspace that a person of several acts in. A key has one, and may name that.";
    let text = text().min_length(Some(1)).max_length(Some(NAME_BYTES_MAX));
    header(WORKSPACE_HEADER, help, text)
}

/// As routes take it whose requests may be repeated; `help` says what a repetition does.
pub(crate) fn idempotency_key(help: &str) -> Parameter {
    let text = text().min_length(Some(1)).max_length(Some(IDEMPOTENCY_KEY_BYTES_MAX)).pattern(Some("^[!-~]+$"));
    header(IDEMPOTENCY_KEY_HEADER, help, text)
}

/// As routes take it that change what has a version.
pub(crate) fn if_match() -> Parameter {
    let help = "The `ETag` of what is changed: 412 when it is of another version by now. Without it, or with `*`, any \
                version is changed.";
    header("If-Match", help, text().pattern(Some(r#"^("[0-9]+"|\*)$"#)))
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn header(name: &str, help: &str, text: ObjectBuilder) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
    parameter.description(Some(help)).schema(Some(text)).build()
}
