//! The users of all tenants by number, in the order in which their first events were applied. In memory
//! a user is a keyed hash of tenant and name and a number; names that are not flushed are read from
//! the memtable that brought them, all others from the manifest (ADR 0008). Numbers depend on the
//! records applied alone, so replaying the journal gives them back.

use domain::tenant::TenantId;
use domain::users::{UserNumber, UserSet};
use hashbrown::{HashMap, HashTable};

use crate::dedup::{IdHash, IdHasher};

/// One user. The hash is kept in pieces, because a `u128` would be padded to 32 bytes with its number.
#[derive(Debug)]
struct Entry {
    hash: [u32; 4],
    number: u32,
}

/// A user whose name is forgotten: the name's hash, by which memory finds the user, and the number.
pub(crate) type ForgottenUser = (IdHash, UserNumber);

/// The numbers of all tenants' users.
#[derive(Debug, Default)]
pub(crate) struct Users {
    entries: HashTable<Entry>,
    counts: HashMap<TenantId, u32>,
    /// The numbers of users whose names were erased.
    nameless: HashMap<TenantId, UserSet>,
}

impl Users {
    /// The users that the manifest knows: of each tenant their names in order of number.
    pub(crate) fn load(known: &[(TenantId, Vec<String>)], hasher: &IdHasher) -> Self {
        let mut users = Self::default();
        users.entries.reserve(known.iter().map(|(_, names)| names.len()).sum(), slot);
        for (tenant, names) in known {
            let hasher = hasher.of_tenant(tenant);
            let mut numbers = users.of_tenant(tenant);
            let mut nameless = UserSet::default();
            for name in names {
                if name.is_empty() {
                    nameless.insert(numbers.skip());
                } else {
                    numbers.number(hasher.hash(name));
                }
            }
            if !nameless.is_empty() {
                users.nameless.insert(tenant.clone(), nameless);
            }
        }
        users
    }

    /// How many of a tenant's users are numbered.
    pub(crate) fn count(&self, tenant: &TenantId) -> u32 {
        self.counts.get(tenant).copied().unwrap_or(0)
    }

    /// The number of the user with this hash.
    pub(crate) fn find(&self, user: IdHash) -> Option<UserNumber> {
        let hash = pieces(user);
        let entry = self.entries.find(slot_of(hash), |entry| entry.hash == hash);
        entry.map(|entry| UserNumber(entry.number))
    }

    /// Forgets the names of users; their numbers stay taken.
    pub(crate) fn forget(&mut self, tenant: &TenantId, users: &[ForgottenUser]) {
        let nameless = self.nameless.entry_ref(tenant).or_default();
        for (hash, number) in users {
            let hash = pieces(*hash);
            if let Ok(entry) = self.entries.find_entry(slot_of(hash), |entry| entry.hash == hash) {
                entry.remove();
            }
            nameless.insert(*number);
        }
    }

    /// Forgets that a tenant had users, whose names are forgotten.
    pub(crate) fn forget_tenant(&mut self, tenant: &TenantId) {
        self.counts.remove(tenant);
        self.nameless.remove(tenant);
    }

    /// The numbers of a tenant's users whose names were erased.
    pub(crate) fn nameless(&self, tenant: &TenantId) -> UserSet {
        self.nameless.get(tenant).cloned().unwrap_or_default()
    }

    /// Numbers the users of one tenant.
    pub(crate) fn of_tenant(&mut self, tenant: &TenantId) -> Numbers<'_> {
        let count = self.counts.entry_ref(tenant).or_insert(0);
        Numbers { entries: &mut self.entries, count }
    }
}

/// The numbers of one tenant's users.
#[derive(Debug)]
pub(crate) struct Numbers<'u> {
    entries: &'u mut HashTable<Entry>,
    count: &'u mut u32,
}

impl Numbers<'_> {
    /// The next number, for a user whose name is not known any more.
    fn skip(&mut self) -> UserNumber {
        let number = *self.count;
        *self.count = number.saturating_add(1);
        UserNumber(number)
    }

    /// The number of the user with this hash, and whether it is new. Memory ends long before numbers do.
    pub(crate) fn number(&mut self, user: IdHash) -> (UserNumber, bool) {
        let hash = pieces(user);
        if let Some(entry) = self.entries.find(slot_of(hash), |entry| entry.hash == hash) {
            return (UserNumber(entry.number), false);
        }
        let number = *self.count;
        *self.count = number.saturating_add(1);
        self.entries.insert_unique(slot_of(hash), Entry { hash, number }, slot);
        (UserNumber(number), true)
    }
}

fn pieces(hash: IdHash) -> [u32; 4] {
    let bytes = hash.0.to_le_bytes();
    [0, 4, 8, 12].map(|at| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
}

/// The hash is keyed and uniform: any part of it will do.
fn slot_of(hash: [u32; 4]) -> u64 {
    u64::from(hash[0]) << 32 | u64::from(hash[1])
}

fn slot(entry: &Entry) -> u64 {
    slot_of(entry.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbered_per_tenant_in_order_of_appearance() {
        let hasher = IdHasher::new(&[1; 16]);
        let (a, b) = (TenantId::default_tenant(), TenantId::parse("b").unwrap_or_else(|_| TenantId::default_tenant()));
        let mut users = Users::default();
        let mut number =
            |tenant: &TenantId, name: &str| users.of_tenant(tenant).number(hasher.of_tenant(tenant).hash(name));
        assert_eq!(number(&a, "x"), (UserNumber(0), true));
        assert_eq!(number(&a, "y"), (UserNumber(1), true));
        assert_eq!(number(&b, "y"), (UserNumber(0), true), "I5: numbers are a tenant's own");
        assert_eq!(number(&a, "x"), (UserNumber(0), false));
        let known = [(a.clone(), vec!["x".to_owned(), "y".to_owned()]), (b, vec!["y".to_owned()])];
        let mut loaded = Users::load(&known, &hasher);
        let mut number = |name: &str| loaded.of_tenant(&a).number(hasher.of_tenant(&a).hash(name));
        assert_eq!(number("y"), (UserNumber(1), false));
        assert_eq!(number("z"), (UserNumber(2), true));
    }

    #[test]
    fn a_user_takes_twenty_bytes_and_a_slot() {
        assert_eq!(size_of::<Entry>(), 20);
    }
}
