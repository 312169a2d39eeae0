//! Sums as they are stored elsewhere, also where their raw events are gone.

use std::collections::BTreeMap;

use domain::aggregate::Totals;
use domain::rollup::Rollup;
use domain::time::MICROS_PER_DAY;
use ports::PortError;
use ports::manifest::ReceivedSum;
use ports::moving::{MoveStage, MovedResidual, MovedSum};
use postgres::Failure;
use sqlx::postgres::PgConnection;

use super::taking::{Intake, ROWS_AT_ONCE};
use crate::copy::Rows;
use crate::sums::{CustomerSum, Customers, Grain, Received, Rollups, SumTable, Windows, insert};

impl Intake {
    /// Takes in windows.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_windows(&mut self, windows: &[MovedSum]) -> Result<(), PortError> {
        let taken = async {
            let mut rows = Vec::with_capacity(windows.len());
            for moved in windows {
                rows.push(((self.of(&moved.tenant)?.no, moved.customer.as_str(), moved.start), &moved.aggregate));
            }
            let mut transaction = self.begin(MoveStage::Windows).await?;
            add::<Windows>(transaction.on(), &rows).await?;
            self.end(transaction, windows.len() as u64).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move windows into PostgreSQL"))
    }

    /// Takes in customers.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_customers(&mut self, customers: &[MovedSum]) -> Result<(), PortError> {
        let taken = async {
            let sums: Vec<_> =
                customers.iter().map(|moved| CustomerSum::of(moved.aggregate.clone(), moved.received)).collect();
            let mut rows = Vec::with_capacity(customers.len());
            for (moved, sum) in customers.iter().zip(&sums) {
                rows.push(((self.of(&moved.tenant)?.no, moved.customer.as_str()), sum));
            }
            let mut transaction = self.begin(MoveStage::Customers).await?;
            add::<Customers>(transaction.on(), &rows).await?;
            self.end(transaction, customers.len() as u64).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move customers into PostgreSQL"))
    }

    /// Takes in all rollups of one tenant: those of hours, and those of days, which are made of them.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_rollups(&mut self, hours: &[Rollup]) -> Result<(), PortError> {
        let taken = async {
            let mut sums: BTreeMap<_, Totals> = BTreeMap::new();
            for Rollup { key, totals } in hours {
                let no = self.of(&key.tenant)?.no;
                for (grain, start) in [(Grain::Hour, key.hour), (Grain::Day, key.hour.floor_to(MICROS_PER_DAY))] {
                    let key = (no, grain, start, key.project.as_str(), key.kind.as_str());
                    sums.entry(key).or_default().merge(totals);
                }
            }
            let rows: Vec<_> = sums.iter().map(|(key, totals)| (*key, totals)).collect();
            let mut transaction = self.begin(MoveStage::Rollups).await?;
            add::<Rollups>(transaction.on(), &rows).await?;
            self.end(transaction, 1).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move rollups into PostgreSQL"))
    }

    /// Takes in all that was received of one tenant.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_received(&mut self, received: &[ReceivedSum]) -> Result<(), PortError> {
        let taken = async {
            let mut rows = Vec::with_capacity(received.len());
            for sum in received {
                rows.push(((self.of(&sum.tenant)?.no, sum.start, sum.customer.as_str()), &sum.amounts));
            }
            let mut transaction = self.begin(MoveStage::Received).await?;
            add::<Received>(transaction.on(), &rows).await?;
            self.end(transaction, 1).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move what was received into PostgreSQL"))
    }

    /// Takes in sums of erased events.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_residuals(&mut self, residuals: &[MovedResidual]) -> Result<(), PortError> {
        let taken = async {
            let mut rows = Rows::new(19, 0);
            for moved in residuals {
                let no = self.of(&moved.tenant)?.no;
                rows.row().i32(no).instant(moved.start).text(&moved.customer).text(&moved.project).text(&moved.kind);
                rows.text(&moved.endpoint).text(&moved.model);
                rows.instant(moved.numbers.first_received).instant(moved.numbers.last_received);
                for column in Rollups::values(&[&moved.numbers.totals]) {
                    column.put(&mut rows, 0);
                }
            }
            let mut transaction = self.begin(MoveStage::Residuals).await?;
            let columns = "tenant_no, start, customer, project, kind, endpoint, model, first_received, last_received";
            let into = format!("residuals ({columns}, {})", Rollups::VALUES.join(", "));
            rows.copy(transaction.on(), &into).await?;
            self.end(transaction, residuals.len() as u64).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move sums of erased events into PostgreSQL"))
    }
}

async fn add<T: SumTable>(on: &mut PgConnection, rows: &[(T::Key<'_>, &T::Sum)]) -> Result<(), Failure> {
    for rows in rows.chunks(ROWS_AT_ONCE) {
        insert::<T>(on, &rows.iter().map(|(key, sum)| (key, *sum)).collect::<Vec<_>>()).await?;
    }
    Ok(())
}
