//! People and their logins as JSON. Nothing here can hold a secret but what is shown once, when it is made; that is not
//! printed.

use access::control::{MadeMember, MadeReset, TokenPair};
use domain::access::record::{Membership, User, Versioned};
use domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::access::MadeInvitationBody;

/// A person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    /// The person's id.
    id: String,
    /// The address that the person logs in with.
    email: String,
    /// What the person is called.
    name: String,
    /// `active` or `suspended`.
    status: &'static str,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// Its version, also the ETag.
    version: u64,
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        let Versioned { created, updated, version } = user.versioned;
        Self {
            id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            name: user.name.clone(),
            status: user.status.name(),
            created,
            updated,
            version,
        }
    }
}

/// A member of a workspace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct MemberBody {
    /// The person's id.
    user: String,
    /// The address that the person logs in with.
    email: String,
    /// What the person is called.
    name: String,
    /// `viewer`, `member`, `admin` or `owner`.
    role: &'static str,
    /// Whether an owner has let the person see encrypted properties in plain text; owners do in any case.
    decrypt: bool,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When the role was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// The version of the membership, also the ETag.
    version: u64,
}

impl MemberBody {
    /// A membership, and the person that it is of.
    pub(crate) fn new(member: &Membership, user: Option<&User>) -> Self {
        let Versioned { created, updated, version } = member.versioned;
        Self {
            user: member.user.to_string(),
            email: user.map(|user| user.email.as_str().to_owned()).unwrap_or_default(),
            name: user.map(|user| user.name.clone()).unwrap_or_default(),
            role: member.role.map_or("none", |role| role.name()),
            decrypt: member.decrypts,
            created,
            updated,
            version,
        }
    }
}

/// A token that sets a password, once.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeReset)]
pub(crate) struct MadeResetBody {
    /// For `POST /v1/auth/reset`. Shown this once.
    token: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
}

impl From<MadeReset> for MadeResetBody {
    fn from(MadeReset { token, expires }: MadeReset) -> Self {
        Self { token: token.expose().to_owned(), expires }
    }
}

/// A person who was made a member, or invited.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeMember)]
pub(crate) struct MadeMemberBody {
    user: UserBody,
    /// For a new account, what sets its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    password_reset: Option<MadeResetBody>,
    /// For an account that was there, what makes its person a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    invitation: Option<MadeInvitationBody>,
}

impl From<MadeMember> for MadeMemberBody {
    fn from(made: MadeMember) -> Self {
        Self {
            user: (&*made.user).into(),
            password_reset: made.reset.map(Into::into),
            invitation: made.invitation.map(Into::into),
        }
    }
}

/// An access token, and what the next one is got with.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// For `Authorization: Bearer`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long the access token is taken, in seconds.
    expires_in: u64,
    /// For `POST /v1/auth/refresh`, once.
    refresh_token: String,
}

impl From<TokenPair> for TokensBody {
    fn from(pair: TokenPair) -> Self {
        let expires_in = pair.expires_in.as_secs();
        let [access_token, refresh_token] = [pair.access, pair.refresh].map(|token| token.expose().to_owned());
        Self { access_token, token_type: "Bearer", expires_in, refresh_token }
    }
}

/// A workspace of the person who asks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MyWorkspace)]
pub(crate) struct MyWorkspaceBody {
    /// Its id, for the header `Nilometer-Workspace`.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) name: String,
    /// The person's role there.
    pub(crate) role: &'static str,
    /// `active`, `suspended` or `deleting`.
    pub(crate) status: &'static str,
}

/// The person who asks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Me)]
pub(crate) struct MeBody {
    /// The person.
    pub(crate) user: UserBody,
    /// The person's workspaces.
    pub(crate) workspaces: Vec<MyWorkspaceBody>,
}

/// A login.
#[derive(Serialize, ToSchema)]
#[schema(as = Login)]
pub(crate) struct LoginBody {
    #[serde(flatten)]
    pub(crate) me: MeBody,
    /// The tokens; none when a cookie was asked for.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub(crate) tokens: Option<TokensBody>,
}
