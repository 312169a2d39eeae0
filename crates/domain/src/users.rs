//! Users as small numbers, and exact sets of them. A tenant's users are numbered in the order in
//! which they were first applied; a number means nothing outside its tenant (I5).

use std::io;

use roaring::RoaringBitmap;

/// The number of a user among those of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserNumber(pub u32);

/// A set of users of one tenant, as a compressed bitmap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserSet(RoaringBitmap);

impl UserSet {
    /// Adds a user.
    pub fn insert(&mut self, user: UserNumber) {
        self.0.insert(user.0);
    }

    /// Whether a user is inside.
    pub fn contains(&self, user: UserNumber) -> bool {
        self.0.contains(user.0)
    }

    /// How many users there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all users of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// Takes out all users of `other`.
    pub fn remove(&mut self, other: &Self) {
        self.0 -= &other.0;
    }

    /// How many users are in both.
    pub fn common(&self, other: &Self) -> u64 {
        self.0.intersection_len(&other.0)
    }

    /// The users, in order.
    pub fn iter(&self) -> impl Iterator<Item = UserNumber> + '_ {
        self.0.iter().map(UserNumber)
    }

    /// Memory and stored bytes, about.
    pub fn bytes(&self) -> usize {
        self.0.serialized_size()
    }

    /// The portable Roaring format (<https://github.com/RoaringBitmap/RoaringFormatSpec>).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.serialized_size());
        // Writing to a vector cannot fail.
        let _ = self.0.serialize_into(&mut bytes);
        bytes
    }

    /// Reads what [`UserSet::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not in that format.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        RoaringBitmap::deserialize_from(bytes).map(Self)
    }
}

impl FromIterator<UserNumber> for UserSet {
    fn from_iter<I: IntoIterator<Item = UserNumber>>(users: I) -> Self {
        Self(users.into_iter().map(|user| user.0).collect())
    }
}
