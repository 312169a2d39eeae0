//! Why a body as a whole was refused. What is wrong with one event is a
//! [`domain::rejection::Rejection`] instead, and never refuses its neighbours.

/// A body that gives no events; one variant per answer of the HTTP layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is not what its headers say, or holds no events (400).
    #[error("{message}")]
    Malformed {
        /// What is wrong, and where.
        message: String,
    },
    /// The body, its decoded form or its number of events is over its limit (413).
    #[error("{message}")]
    TooLarge {
        /// Which limit was reached.
        message: String,
    },
    /// The content encoding is not one of those accepted (415).
    #[error("{message}")]
    UnsupportedEncoding {
        /// Which one it is, and which are accepted.
        message: String,
    },
    /// The content type is not one of those accepted (415).
    #[error("{message}")]
    UnsupportedMediaType {
        /// Which one it is, and which are accepted.
        message: String,
    },
}

impl BodyError {
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed { message: message.into() }
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::TooLarge { message: message.into() }
    }
}
