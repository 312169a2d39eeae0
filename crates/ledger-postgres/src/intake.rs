//! Takes in what another ledger hands over: whole tenants, none of which may be here. Each call is one transaction, which
//! also notes how far the move is: killed at any moment, it goes on behind the last one that counts. All buckets are held
//! meanwhile, so that no server writes. What is taken in is not asked for before its workspaces are in the
//! catalog, which comes last.

mod hold;
mod taking;
mod begin;
mod events;
mod kept;
mod sums;
mod compare;

pub use taking::Intake;
