//! The table of rights: what a role, a scope of a key and the operator of the server may do. Every route names one
//! [`Permission`], without which no request may use it. What a caller may do *to whom* is decided with the change: an
//! admin changes no owner, and a key makes no wider key.
//!
//! A person below the owner sees encrypted properties in plain text when an owner has granted that; such a person has
//! the scope `decrypt` beside the role.
//!
//! | permission | viewer | member | admin | owner | key `ingest` | key `read` | key `admin` | key `decrypt` | operator |
//! |---|---|---|---|---|---|---|---|---|---|
//! | `aggregates:read` | x | x | x | x |   | x |   |   |   |
//! | `events:read` |   | x | x | x |   | x |   |   |   |
//! | `events:write` |   | x | x | x | x |   |   |   |   |
//! | `settings:read` | x | x | x | x |   | x | x |   |   |
//! | `reference:read` |   | x | x | x |   | x | x |   |   |
//! | `settings:write` |   |   | x | x |   |   | x |   |   |
//! | `keys` |   |   | x | x |   |   | x |   |   |
//! | `members` |   |   | x | x |   |   |   |   |   |
//! | `audit:read` |   |   | x | x |   |   |   |   |   |
//! | `erase` |   |   |   | x |   |   |   |   |   |
//! | `encryption` |   |   |   | x |   |   |   |   |   |
//! | `decrypt` |   |   |   | x |   |   |   | x |   |
//! | `server` |   |   |   |   |   |   |   |   | x |

use std::fmt;

/// What a person may do in a workspace; each role may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Reads aggregates and the live view.
    Viewer,
    /// Reads and sends raw events as well.
    Member,
    /// Changes settings, keys and members as well, but not owners.
    Admin,
    /// May do everything in the workspace.
    Owner,
}

impl Role {
    /// All roles, the one with the fewest rights first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Admin, Self::Owner];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What an API key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyScope {
    /// To send events and look up what became of them.
    Ingest,
    /// To read aggregates, raw events and reference tables.
    Read,
    /// To change settings, reference tables, customers and keys.
    Admin,
    /// To see encrypted properties in plain text, where they may be read at all.
    Decrypt,
}

impl KeyScope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Admin, Self::Decrypt];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Decrypt => "decrypt",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Ingest => 1,
            Self::Read => 2,
            Self::Admin => 4,
            Self::Decrypt => 8,
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct KeyScopes(u8);

impl KeyScopes {
    /// No scope.
    pub const NONE: Self = Self(0);
    /// The scopes of keys that stand in the server's configuration.
    pub const OF_CONFIGURATION: Self = Self(KeyScope::Ingest.bit() | KeyScope::Read.bit());

    /// The set of these.
    pub fn of(scopes: &[KeyScope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// The set that [`KeyScopes::bits`] gave the number of.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits < 16).then_some(Self(bits))
    }

    /// A number that stands for the set.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether `scope` is in it.
    pub fn contains(self, scope: KeyScope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether every scope of `other` is in it.
    pub fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// The scopes in it.
    pub fn iter(self) -> impl Iterator<Item = KeyScope> {
        KeyScope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl fmt::Debug for KeyScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Read aggregates, customers and the live view.
    ReadAggregates,
    /// Read raw events, export them, run structured queries over them.
    ReadEvents,
    /// Send events, and look up what became of them.
    WriteEvents,
    /// Read the workspace's settings.
    ReadSettings,
    /// Read the reference tables.
    ReadReference,
    /// Change settings, reference tables and what is kept about customers.
    WriteSettings,
    /// List, make, change and revoke keys.
    ManageKeys,
    /// List, invite, change and remove members.
    ManageMembers,
    /// Read the audit log.
    ReadAudit,
    /// Say which properties are encrypted, and renew the key that they are encrypted with.
    ManageEncryption,
    /// See encrypted properties in plain text, and let others see them.
    Decrypt,
    /// Erase users, customers or the whole workspace, and read what came of it.
    Erase,
    /// Manage workspaces, people and the keys that tokens are signed with, and read the server's own metrics.
    ManageServer,
}

impl Permission {
    /// All permissions.
    pub const ALL: [Self; 13] = [
        Self::ReadAggregates,
        Self::ReadEvents,
        Self::WriteEvents,
        Self::ReadSettings,
        Self::ReadReference,
        Self::WriteSettings,
        Self::ManageKeys,
        Self::ManageMembers,
        Self::ReadAudit,
        Self::ManageEncryption,
        Self::Decrypt,
        Self::Erase,
        Self::ManageServer,
    ];

    /// Its name in the API's document and in refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadAggregates => "aggregates:read",
            Self::ReadEvents => "events:read",
            Self::WriteEvents => "events:write",
            Self::ReadSettings => "settings:read",
            Self::ReadReference => "reference:read",
            Self::WriteSettings => "settings:write",
            Self::ManageKeys => "keys",
            Self::ManageMembers => "members",
            Self::ReadAudit => "audit:read",
            Self::ManageEncryption => "encryption",
            Self::Decrypt => "decrypt",
            Self::Erase => "erase",
            Self::ManageServer => "server",
        }
    }

    /// The role with the fewest rights that has it, if any role has.
    const fn least_role(self) -> Option<Role> {
        match self {
            Self::ReadAggregates | Self::ReadSettings => Some(Role::Viewer),
            Self::ReadEvents | Self::WriteEvents | Self::ReadReference => Some(Role::Member),
            Self::WriteSettings | Self::ManageKeys | Self::ManageMembers | Self::ReadAudit => Some(Role::Admin),
            Self::ManageEncryption | Self::Decrypt | Self::Erase => Some(Role::Owner),
            Self::ManageServer => None,
        }
    }

    /// The scopes each of which has it.
    const fn scopes(self) -> &'static [KeyScope] {
        match self {
            Self::ReadAggregates | Self::ReadEvents => &[KeyScope::Read],
            Self::WriteEvents => &[KeyScope::Ingest],
            Self::ReadSettings | Self::ReadReference => &[KeyScope::Read, KeyScope::Admin],
            Self::WriteSettings | Self::ManageKeys => &[KeyScope::Admin],
            Self::Decrypt => &[KeyScope::Decrypt],
            Self::ManageMembers | Self::ReadAudit | Self::ManageEncryption | Self::Erase | Self::ManageServer => &[],
        }
    }
}

/// What one caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// The caller's role in the workspace.
    pub role: Option<Role>,
    /// The scopes of the caller's key; of a member, what was granted beside the role.
    pub scopes: KeyScopes,
    /// Whether the caller operates the server.
    pub is_operator: bool,
}

impl Rights {
    /// The rights of a member.
    pub fn of_role(role: Role) -> Self {
        Self { role: Some(role), ..Self::default() }
    }

    /// The rights of a member who may see encrypted properties in plain text whatever the role, or not.
    pub fn of_member(role: Role, decrypts: bool) -> Self {
        let scopes = if decrypts { KeyScopes::of(&[KeyScope::Decrypt]) } else { KeyScopes::NONE };
        Self { scopes, ..Self::of_role(role) }
    }

    /// The rights of a key.
    pub fn of_key(scopes: KeyScopes) -> Self {
        Self { scopes, ..Self::default() }
    }

    /// The rights of the operator.
    pub fn of_operator() -> Self {
        Self { is_operator: true, ..Self::default() }
    }

    /// Whether they include `permission`.
    pub fn allow(self, permission: Permission) -> bool {
        permission.least_role().is_some_and(|least| self.role >= Some(least))
            || permission.scopes().iter().any(|scope| self.scopes.contains(*scope))
            || (self.is_operator && permission == Permission::ManageServer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the file's head, read back: what it says is what holds.
    #[test]
    fn rights_are_what_the_table_in_the_documentation_says() {
        let columns: Vec<Rights> = Role::ALL
            .map(Rights::of_role)
            .into_iter()
            .chain(KeyScope::ALL.map(|scope| Rights::of_key(KeyScopes::of(&[scope]))))
            .chain([Rights::of_operator()])
            .collect();
        let text = include_str!("rights.rs");
        let mut seen = 0;
        for permission in Permission::ALL {
            let begin = format!("//! | `{}` |", permission.name());
            let line = text.lines().find_map(|line| line.strip_prefix(&begin)).unwrap_or_default();
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), columns.len() + 1, "{permission:?}");
            for (rights, cell) in columns.iter().zip(cells) {
                assert_eq!(rights.allow(permission), cell == "x", "{permission:?} {rights:?}");
                seen += usize::from(cell == "x");
            }
        }
        assert_eq!(seen, 39);
        assert!(Permission::ALL.iter().all(|permission| !Rights::default().allow(*permission)));
    }

    #[test]
    fn a_set_of_scopes_is_its_members() {
        let both = KeyScopes::of(&[KeyScope::Read, KeyScope::Ingest]);
        assert_eq!(both, KeyScopes::OF_CONFIGURATION);
        assert_eq!(both.iter().map(KeyScope::name).collect::<Vec<_>>(), ["ingest", "read"]);
        assert!(both.covers(KeyScopes::of(&[KeyScope::Read])) && !both.covers(KeyScopes::of(&[KeyScope::Admin])));
        assert_eq!(KeyScopes::from_bits(both.bits()), Some(both));
        assert_eq!(KeyScopes::from_bits(16), None);
    }
}
