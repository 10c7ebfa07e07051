//! How far rollbacks can go: which transactions keep their backups.
//!
//! A rollback to a transaction needs the backups of all that came after it, so it is always the
//! oldest backups that go. Copies of local changes are none of them and stay.

use super::backup::{Freed, drop_backups, droppable};
use super::error::RecoverError;
use crate::db::{Database, DatabaseError};
use crate::root::Root;

/// How many transactions can be rolled back unless settings say otherwise.
pub const KEPT_TRANSACTIONS: u64 = 10;

/// Bounds on what is kept for rollbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How many transactions keep their backups; none for all. 0 keeps nothing.
    pub transactions: Option<u64>,
    /// How long, in seconds; none for as long as there is. The last transaction stays all the same.
    pub age: Option<u64>,
    /// How many bytes all backups may take together; none for any number. The last transaction
    /// stays all the same.
    pub size: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { transactions: Some(KEPT_TRANSACTIONS), age: None, size: None }
    }
}

impl Retention {
    /// Nothing is ever dropped.
    pub const UNBOUNDED: Self = Self { transactions: None, age: None, size: None };
    /// Nothing is kept.
    pub const NOTHING: Self = Self { transactions: Some(0), age: None, size: None };
}

/// A transaction that can be rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    id: i64,
    /// When it ended, in seconds since 1970.
    finished: u64,
    /// How much its backups take, where that matters.
    bytes: u64,
}

/// How many of the transactions, the newest first, stay.
fn staying(kept: &[Kept], retention: Retention, now: u64) -> usize {
    let most = retention
        .transactions
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let mut sum = 0_u64;
    let fits = |(place, transaction): &(usize, &Kept)| {
        sum = sum.saturating_add(transaction.bytes);
        let is_young =
            retention.age.is_none_or(|age| transaction.finished.saturating_add(age) >= now);
        *place == 0 || (is_young && retention.size.is_none_or(|most| sum <= most))
    };
    kept.iter().enumerate().take(most).take_while(fits).count()
}

/// The transactions whose backups a retention drops, the oldest first.
pub fn surplus(
    database: &Database,
    root: &Root,
    retention: Retention,
    now: u64,
) -> Result<Vec<i64>, RecoverError> {
    let mut kept = Vec::new();
    for (id, finished) in kept_with_times(database)? {
        let bytes = match retention.size {
            Some(_) => droppable(database, root, id)?.size.bytes,
            None => 0,
        };
        kept.push(Kept { id, finished, bytes });
    }
    let stay = staying(&kept, retention, now);
    Ok(kept[stay..].iter().rev().map(|transaction| transaction.id).collect())
}

/// Drops the backups that a retention does not keep, the oldest first.
pub fn retain(
    database: &Database,
    root: &Root,
    retention: Retention,
    now: u64,
) -> Result<Freed, RecoverError> {
    let mut freed = Freed::default();
    for transaction in surplus(database, root, retention, now)? {
        freed.add(drop_backups(database, root, transaction)?);
    }
    Ok(freed)
}

/// The transactions that have backups and when they ended, the newest first.
fn kept_with_times(database: &Database) -> Result<Vec<(i64, u64)>, DatabaseError> {
    let mut statement = database.connection().prepare(
        "SELECT id, coalesce(finished, started) FROM txn WHERE state = 'done' AND kept = 1
         ORDER BY id DESC",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
    rows.map(|row| {
        let (id, finished) = row?;
        Ok((id, finished.unsigned_abs()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(retention: Retention) -> usize {
        let kept = |(id, finished, bytes)| Kept { id, finished, bytes };
        // the newest first: a minute old, an hour, a day
        let all = [(3, 99_940, 10), (2, 96_400, 20), (1, 13_600, 30)].map(kept);
        staying(&all, retention, 100_000)
    }

    #[test]
    fn count_age_and_size_each_bound_what_stays() {
        let all = Retention::UNBOUNDED;
        assert_eq!(stay(all), 3);
        assert_eq!(stay(Retention::default()), 3);
        assert_eq!(stay(Retention { transactions: Some(2), ..all }), 2);
        assert_eq!(stay(Retention { age: Some(3_600), ..all }), 2);
        assert_eq!(stay(Retention { age: Some(3_599), ..all }), 1);
        assert_eq!(stay(Retention { size: Some(30), ..all }), 2);
        assert_eq!(stay(Retention { size: Some(29), ..all }), 1);
        let three = Retention { transactions: Some(2), age: Some(86_400), size: Some(20) };
        assert_eq!(stay(three), 1, "the tightest counts");
    }

    #[test]
    fn the_last_one_stays_unless_none_is_to() {
        let all = Retention::UNBOUNDED;
        assert_eq!(stay(Retention { size: Some(0), ..all }), 1);
        assert_eq!(stay(Retention { age: Some(0), ..all }), 1);
        assert_eq!(stay(Retention::NOTHING), 0);
        assert_eq!(staying(&[], all, 0), 0);
    }
}
