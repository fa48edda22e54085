//! One suite for every control log: what the rest of the gate may rely on.

use super::entry::Stored;
use super::*;
use crate::control::log::memory::Failing;
use crate::id::LeverId;
use std::sync::Arc;

fn audit(who: &str) -> Audit {
    Audit {
        who: who.into(),
        role: "responder".into(),
        by: "api".into(),
        reason: "because".into(),
        unix_ms: 7,
        ticket: None,
        before: None,
    }
}

fn lift(number: u128) -> Change {
    Change::Lift { id: LeverId(number) }
}

/// Every implementation, each with a folder that must outlive it.
fn logs() -> Vec<(Arc<dyn ControlLog>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteLog::open(&folder.path().join("state.db"), "l").unwrap();
    vec![(Arc::new(sqlite), Some(folder)), (Arc::new(MemoryLog::new("l")), None)]
}

#[tokio::test]
async fn appends_are_read_back_in_order_without_a_gap() {
    for (log, _folder) in logs() {
        assert_eq!(log.read(Rev(0)).await.unwrap(), []);
        for number in 1..=5 {
            let rev = log.append(Rev(number - 1), lift(u128::from(number)), audit("a")).await;
            assert_eq!(rev, Ok(Rev(number)));
        }
        let all = log.read(Rev(0)).await.unwrap();
        assert_eq!(all.iter().map(|entry| entry.rev.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(all[2].change, lift(3));
        assert_eq!(log.read(Rev(3)).await.unwrap(), all[3..]);
        assert_eq!(log.read(Rev(5)).await.unwrap(), []);
        assert_eq!(&*log.lineage().await.unwrap().0, "l");
    }
}

#[tokio::test]
async fn only_one_of_two_appends_to_the_same_head_is_taken() {
    for (log, _folder) in logs() {
        let tries = (0..16).map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.append(Rev(0), lift(number), audit("a")).await })
        });
        let mut taken = 0;
        for outcome in futures_util::future::join_all(tries).await {
            match outcome.unwrap() {
                Ok(rev) => {
                    assert_eq!(rev, Rev(1));
                    taken += 1;
                }
                Err(fault) => assert_eq!(fault, AppendFault::Conflict { head: Rev(1) }),
            }
        }
        assert_eq!(taken, 1);
        assert_eq!(log.read(Rev(0)).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_wait_ends_by_itself_and_by_an_append() {
    for (log, _folder) in logs() {
        log.wait(Rev(0), Duration::from_millis(1)).await;
        let waiting = {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.wait(Rev(0), Duration::from_mins(5)).await })
        };
        while !waiting.is_finished() {
            let head = log.read(Rev(0)).await.unwrap().len() as u64;
            log.append(Rev(head), lift(1), audit("a")).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_file_is_found_again_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let log = SqliteLog::open(&path, "first").unwrap();
    log.append(Rev(0), lift(9), audit("a")).await.unwrap();
    log.set_note("n", "1").unwrap();
    drop(log);
    let log = SqliteLog::open(&path, "second").unwrap();
    assert_eq!(&*log.lineage().await.unwrap().0, "first");
    assert_eq!(log.read(Rev(0)).await.unwrap()[0].change, lift(9));
    assert_eq!(log.note("n").unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_file_that_is_gone_or_foreign_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let log = SqliteLog::open(&path, "l").unwrap();
    std::fs::rename(&path, folder.path().join("away.db")).unwrap();
    let fault = log.append(Rev(0), lift(1), audit("a")).await.unwrap_err();
    assert!(matches!(fault, AppendFault::Unavailable(_)), "{fault:?}");
    assert!(matches!(log.read(Rev(0)).await, Err(ReadFault::Unavailable(_))));

    let text = folder.path().join("text.db");
    std::fs::write(&text, "no database at all, but long enough to have a header of its own....")
        .unwrap();
    assert!(matches!(SqliteLog::open(&text, "l"), Err(ReadFault::Corrupt(_))));
}

#[test]
fn any_change_of_an_entry_is_found() {
    let (first, hash) = Stored::new(Rev(1), Hash::default(), &lift(1), &audit("a")).unwrap();
    let (second, _) = Stored::new(Rev(2), hash, &lift(2), &audit("b")).unwrap();
    assert!(first.clone().read(Rev(0), Hash::default()).is_ok());
    assert!(second.clone().read(Rev(1), hash).is_ok());
    let other = |change: &dyn Fn(&mut Stored)| {
        let mut stored = second.clone();
        change(&mut stored);
        stored.read(Rev(1), hash)
    };
    assert!(other(&|stored| stored.change = stored.change.replace('2', "3")).is_err());
    assert!(other(&|stored| stored.audit = stored.audit.replace('b', "c")).is_err());
    assert!(other(&|stored| stored.rev = Rev(3)).is_err());
    assert!(other(&|stored| stored.hash[0] ^= 1).is_err());
    assert!(second.read(Rev(1), Hash::default()).is_err(), "without the one before it");
}

#[tokio::test]
async fn the_simulated_log_fails_as_it_is_told() {
    let log = MemoryLog::new("l");
    log.fail(Failing::Unavailable);
    assert!(matches!(
        log.append(Rev(0), lift(1), audit("a")).await,
        Err(AppendFault::Unavailable(_))
    ));
    assert!(log.read(Rev(0)).await.is_err());
    log.fail(Failing::AnswerLost);
    assert!(matches!(log.append(Rev(0), lift(1), audit("a")).await, Err(AppendFault::Unknown(_))));
    assert_eq!(log.read(Rev(0)).await.unwrap().len(), 1);
}
