//! Forgetting what ended long ago.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::Register;
use crate::access::record::SessionKind;
use crate::access::removal::{Ending, Removal};
use crate::time::Timestamp;

impl Register {
    /// What is to be removed as of `now`, in no order.
    pub fn ended(&self, now: Timestamp) -> Vec<Removal> {
        let keys = self.keys.values().filter_map(|held| held.key.removal(now));
        let secrets = self.secrets.values().filter_map(|secret| secret.removal(now));
        let invitations = self.invitations.values().filter_map(|invitation| invitation.removal(now));
        let resets = self.resets.values().filter_map(|reset| reset.removal(now));
        let sessions = self.sessions.values().filter_map(|session| session.removal(now));
        let token_keys = self.token_keys.values().filter_map(|key| key.removal(now));
        let creations = self.creations.values().filter_map(|creation| creation.removal(now));
        keys.chain(secrets)
            .chain(invitations)
            .chain(resets)
            .chain(sessions)
            .chain(token_keys)
            .chain(creations)
            .collect()
    }

    /// Whether this is still to be removed as of `now`: a key that has expired may have been given a later end.
    pub fn is_ended(&self, removal: &Removal, now: Timestamp) -> bool {
        let as_it_is = match removal {
            Removal::ApiKey(id, _) => self.keys.get(id).and_then(|held| held.key.removal(now)),
            Removal::SigningSecret(id, _) => self.secrets.get(id).and_then(|secret| secret.removal(now)),
            Removal::Invitation(id, _) => self.invitations.get(id).and_then(|invitation| invitation.removal(now)),
            Removal::PasswordReset(user, _) => self.resets.get(user).and_then(|reset| reset.removal(now)),
            Removal::Session(id, _) => self.sessions.get(id).and_then(|session| session.removal(now)),
            Removal::TokenKey(kid, _) => self.token_keys.get(kid).and_then(|key| key.removal(now)),
            Removal::Creation(hash, _) => self.creations.get(hash).and_then(|creation| creation.removal(now)),
        };
        as_it_is.as_ref() == Some(removal)
    }

    /// Forgets a record, whatever version it is of.
    pub fn forget(&mut self, removal: &Removal) {
        match removal {
            Removal::ApiKey(id, _) => {
                let Some(held) = self.keys.remove(id) else { return };
                if self.registered_keys.get(&held.key.hash) == Some(id) {
                    self.registered_keys.remove(&held.key.hash);
                }
                if let Some(of) = self.keys_of.get_mut(&held.key.workspace) {
                    of.remove(id);
                }
            }
            Removal::SigningSecret(id, _) => {
                let Some(secret) = self.secrets.remove(id) else { return };
                leave(&mut self.secrets_by_workspace, &secret.workspace, id);
            }
            Removal::Invitation(id, _) => {
                let Some(invitation) = self.invitations.remove(id) else { return };
                self.invitations_by_token.remove(&invitation.token_hash);
                leave(&mut self.invitations_by_workspace, &invitation.workspace, id);
            }
            Removal::PasswordReset(user, _) => {
                let Some(reset) = self.resets.remove(user) else { return };
                self.resets_by_token.remove(&reset.token_hash);
            }
            Removal::Session(id, _) => {
                let Some(session) = self.sessions.remove(id) else { return };
                if let SessionKind::Cookie(hash) = session.kind {
                    self.sessions_by_cookie.remove(&hash);
                }
                leave(&mut self.sessions_by_user, &session.user, id);
            }
            Removal::TokenKey(kid, _) => drop(self.token_keys.remove(kid)),
            Removal::Creation(hash, _) => drop(self.creations.remove(hash)),
        }
    }
}

/// Takes a member out of a set, and the set away when that was its last.
fn leave<K: Eq + Hash, V: Ord>(sets: &mut HashMap<K, BTreeSet<V>>, of: &K, member: &V) {
    if let Some(set) = sets.get_mut(of) {
        set.remove(member);
        if set.is_empty() {
            sets.remove(of);
        }
    }
}
