//! What the record keeps no longer is not found any more.

use super::*;
use crate::evidence::disk::Folder;
use crate::evidence::exchange::read_at;
use crate::evidence::read::segment_name;
use crate::evidence::{FOLDER, Note};
use crate::table::RouteKept;
use std::time::Instant;

#[test]
fn what_retention_took_is_not_found() {
    let folder = TempDir::new().unwrap();
    let mut options = Options::of(folder.path());
    options.limits.segment_bytes_max = 1;
    let store = Store::start(options).unwrap();
    record(&store, 1, &Told { answer: "a fleeting word", ..Told::default() });
    assert!(store.flush(LONG));
    let kept = record(&store, 2, &Told { at_ms: 1, session: Some("s2"), ..Told::default() });
    store.close(LONG);
    let mut follower = Follower::open(folder.path()).unwrap();
    caught_up(&mut follower);
    let index = Index::open(folder.path()).unwrap();
    assert_eq!(find(&index, "").len(), 2);
    let first = index.row(id(1)).unwrap().unwrap().places[0].segment;
    let file = segment_name(first);
    std::fs::remove_file(folder.path().join(FOLDER).join(file)).unwrap();
    let mut follower = Follower::open(folder.path()).unwrap();
    assert_eq!(caught_up(&mut follower).forgotten, 1);
    assert_eq!(find(&index, ""), [kept]);
    assert_eq!(find(&index, "fleeting"), []);
    assert_eq!(find(&index, "tool:look_up"), [kept]);
    assert!(index.session("s1").unwrap().is_none());
    assert!(index.session("s2").unwrap().is_some());
}

/// What is of a route that keeps a day goes, also what was attached to a session; what another keeps
/// longer stays, in the same segment.
#[test]
fn what_was_erased_is_not_found_and_the_rest_is_as_it_was() {
    let folder = TempDir::new().unwrap();
    let then = Options { unix_ms: || NOW, ..Options::of(folder.path()) };
    let store = Store::start(then).unwrap();
    let fleeting = Told { route: "chat", answer: "a fleeting word", ..Told::default() };
    record(&store, 1, &fleeting);
    record(&store, 2, &Told { at_ms: 1, session: Some("s2"), ..Told::default() });
    record(&store, 3, &Told { at_ms: 2, ..fleeting.clone() });
    store.tap().note(Note {
        at_unix_ms: NOW,
        what: "context".into(),
        exchange: None,
        about: json!({ "app": "helpdesk", "session": "s9", "documents": [{ "text": "waits" }] }),
    });
    store.close(LONG);
    let mut follower = Follower::open(folder.path()).unwrap();
    caught_up(&mut follower);
    let index = Index::open(folder.path()).unwrap();
    assert_eq!(find(&index, "route:chat").len(), 2);
    let disk = Folder::at(&folder.path().join(FOLDER));
    let kept = ExchangeId::new(NOW + 1, 2);
    let before = read_at(&disk, kept, &index.row(kept).unwrap().unwrap().places).unwrap();

    let mut later = Options {
        unix_ms: || NOW + 2 * 24 * 60 * 60 * 1000,
        of_route: Arc::new(|route| RouteKept {
            days: Some(if route == "support" { 30 } else { 1 }),
            ..RouteKept::default()
        }),
        ..Options::of(folder.path())
    };
    // What is due is looked at when a segment is complete.
    later.limits.segment_bytes_max = 1;
    let store = Store::start(later).unwrap();
    let until = Instant::now() + LONG;
    while store.counters().erased_records == 0 {
        assert!(Instant::now() < until, "nothing was erased");
        store.tap().note(Note {
            at_unix_ms: NOW,
            what: "test".into(),
            exchange: None,
            about: json!({}),
        });
        std::thread::sleep(Duration::from_millis(20));
    }
    store.close(LONG);
    let waiting = |index: &Connection| -> i64 {
        index.query_row("SELECT count(*) FROM contexts", [], |row| row.get(0)).unwrap()
    };
    let connection = open_to_write(folder.path()).unwrap();
    assert_eq!(waiting(&connection), 1);
    assert_eq!(caught_up(&mut follower).forgotten, 2);
    assert_eq!(waiting(&connection), 0);
    let is_as_expected = |index: &Index| {
        assert_eq!(find(index, ""), [kept]);
        assert_eq!(find(index, "fleeting"), []);
        assert!(index.session("s1").unwrap().is_none());
        let places = index.row(kept).unwrap().unwrap().places;
        assert_eq!(read_at(&disk, kept, &places).unwrap(), before);
    };
    is_as_expected(&index);
    // An index that is made anew of what stays says the same.
    follower.reset().unwrap();
    caught_up(&mut follower);
    is_as_expected(&index);
}
