//! How the server is reached: by which path and URL, through which proxies, and from which pages.

use std::sync::Arc;

use crate::base_path::BasePath;
use crate::origin::{Origin, PublicUrl};
use domain::access::address::AddressRange;

/// How the server is reached.
#[derive(Debug, Clone, Default)]
pub struct WebOptions {
    /// The path that all routes lie below.
    pub base_path: BasePath,
    /// Where clients find the server, if it is told.
    pub public_url: Option<PublicUrl>,
    /// Pages of these origins may read and write with a key.
    pub cors_origins: Arc<[Origin]>,
    /// Whose word on the client's address is taken.
    pub trusted_proxies: Arc<[AddressRange]>,
}
