//! A room imports only rooms on lower floors; rooms on one floor never import each other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms by floor, as `src/lib.rs` draws them.
const FLOORS: &[(u8, &[&str])] = &[
    (0, &["filter", "id", "clock", "stage", "fault"]),
    (1, &["wire"]),
    (2, &["table"]),
    (3, &["exchange"]),
    (4, &["control", "evidence", "telemetry"]),
    (5, &["proxy"]),
    (6, &["replay", "watch", "incident"]),
    (7, &["admin"]),
    (8, &["app"]),
    (9, &["cli"]),
];

/// Rooms that decide: no sockets, clocks, randomness, async or metrics.
const PURE: &[&str] = &["filter", "id", "clock", "stage", "fault", "wire", "table", "exchange"];

/// What a pure room may not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "hyper::",
    "async fn",
    ".await",
    "Instant::now",
    "SystemTime::now",
    "metrics::",
    "std::net::Tcp",
    "rand::",
];

/// The identity newtypes, clock and errors of floor 0 may be used together.
const SHARED: &[&str] = &["id", "clock", "stage", "fault"];

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The room that a file lies in, and its text without comments and tests.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    found
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code: String = text
                .split("#[cfg(test)]")
                .next()
                .unwrap_or("")
                .lines()
                .map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n")
                .collect();
            (!["lib", "main"].contains(&room.as_str())).then_some((room, path, code))
        })
        .collect()
}

#[test]
fn every_room_stands_on_a_floor() {
    for (room, path, _) in rooms() {
        assert!(floor(&room).is_some(), "{}: no floor for room `{room}`", path.display());
    }
}

#[test]
fn imports_point_down() {
    let mut breaches = Vec::new();
    for (room, path, code) in rooms() {
        let Some(here) = floor(&room) else { continue };
        for piece in code.split("crate::").skip(1) {
            let named: Vec<&str> = if let Some(list) = piece.strip_prefix('{') {
                let list = list.split(';').next().unwrap_or("");
                list.split([',', '{', '}']).map(str::trim).collect()
            } else {
                vec![piece]
            };
            for name in named {
                let other: String =
                    name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(there) = floor(&other) else { continue };
                let shared = SHARED.contains(&other.as_str());
                if other != room && there >= here && !shared {
                    breaches.push(format!("{}: `{room}` imports `{other}`", path.display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn pure_rooms_do_no_io() {
    let mut breaches = Vec::new();
    for (room, path, code) in rooms() {
        if PURE.contains(&room.as_str()) {
            for word in IMPURE {
                if code.contains(word) {
                    breaches.push(format!("{}: `{word}` in pure room `{room}`", path.display()));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}
