//! Settings whose values stand in files of their own, as those do that an orchestrator keeps secret: of each setting,
//! the environment may name a file instead of the value.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::settings::variable;

/// What stands behind the environment variable of a setting in that of its file.
pub(super) const FILE_SUFFIX: &str = "_FILE";
/// Largest file of settings, or of one setting, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The value of an environment variable, if it is set.
pub(super) type Environment<'e> = dyn Fn(&str) -> Option<OsString> + 'e;

/// The file that the environment names for the setting `name`, and what it holds without the space around it.
pub(super) fn value(name: &str, environment: &Environment<'_>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let plain = variable(name);
    let variable = format!("{plain}{FILE_SUFFIX}");
    let Some(file) = environment(&variable) else { return Ok(None) };
    if environment(&plain).is_some() {
        return Err(ConfigError::new(format!("environment variables {plain} and {variable} are both set")));
    }
    let file = PathBuf::from(file);
    let refused = |why| ConfigError::new(format!("environment variable {variable}: file {}: {why}", file.display()));
    let text = read_text(&file).map_err(refused)?;
    Ok(Some((file, text.trim().to_owned())))
}

/// What a file holds, which must be text.
pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    let bytes = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
