//! Reference tables, one row each: they are replaced whole and read whole.

use std::collections::HashMap;
use std::sync::Arc;

use domain::reference::{Attributes, ReferenceTable, Users};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Packed, Seal, put_number, put_text, signed, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reference_table")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) generation: i64,
    pub(crate) ts_us: i64,
    pub(crate) seal: i64,
    /// For each user its name, the number of its attributes, and their names and values, as [`Packed`] takes
    /// them.
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a table.
    pub(crate) fn new(tenant: &TenantId, table: &ReferenceTable) -> Result<Self, Failure> {
        let mut row = Self {
            tenant: tenant.as_str().to_owned(),
            generation: signed("generation", table.generation)?,
            ts_us: table.ts.micros(),
            seal: 0,
            body: pack(&table.users),
        };
        row.seal = row.expected_seal();
        Ok(row)
    }

    /// The table, if it is what was written.
    pub(crate) fn into_table(self) -> Result<(TenantId, Arc<ReferenceTable>), Failure> {
        if self.seal != self.expected_seal() {
            return Err(Failure::corrupt(format!("the reference table of tenant {:?} is damaged", self.tenant)));
        }
        let table = ReferenceTable {
            generation: unsigned("generation", self.generation)?,
            ts: Timestamp::from_micros(self.ts_us),
            users: unpack(&self.body)?,
        };
        Ok((tenant_id(&self.tenant)?, Arc::new(table)))
    }

    fn expected_seal(&self) -> i64 {
        let own = Seal::default().bytes(self.tenant.as_bytes()).int(self.generation).int(self.ts_us);
        own.bytes(&self.body).value()
    }
}

fn pack(users: &Users) -> Vec<u8> {
    let mut body = Vec::new();
    for (user, attributes) in users {
        put_text(&mut body, user);
        put_number(&mut body, attributes.len());
        for (attribute, value) in attributes.iter() {
            put_text(&mut body, attribute);
            put_text(&mut body, value);
        }
    }
    body
}

/// The users come in order, which a map made from all of them at once is quick to build from.
fn unpack(body: &[u8]) -> Result<Users, Failure> {
    let mut packed = Packed(body);
    let mut known = HashMap::new();
    let next = || (!packed.is_empty()).then(|| user(&mut packed, &mut known));
    std::iter::from_fn(next).collect()
}

/// Users whose attributes are the same bytes share them.
fn user<'b>(
    packed: &mut Packed<'b>,
    known: &mut HashMap<&'b [u8], Arc<Attributes>>,
) -> Result<(String, Arc<Attributes>), Failure> {
    let name = packed.text()?.to_owned();
    let from = packed.0;
    let count = packed.number()?;
    for _ in 0..count {
        packed.text()?;
        packed.text()?;
    }
    let bytes = &from[..from.len() - packed.0.len()];
    if let Some(attributes) = known.get(bytes) {
        return Ok((name, Arc::clone(attributes)));
    }
    let mut again = Packed(bytes);
    let count = again.number()?;
    let attribute = |_| Ok((again.text()?.to_owned(), again.text()?.to_owned()));
    let attributes = Arc::new((0..count).map(attribute).collect::<Result<Attributes, Failure>>()?);
    known.insert(bytes, Arc::clone(&attributes));
    Ok((name, attributes))
}
