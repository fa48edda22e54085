//! Under a service manager: sockets that it hands over, and what it is told (sd_listen_fds(3),
//! sd_notify(3)).

use crate::support::{CASES, SIMULATED, binary, post};
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Service(Child);

impl Service {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sockets_are_taken_over_and_the_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let routes = folder.path().join("routes.toml");
    std::fs::write(&routes, SIMULATED).unwrap();
    let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut buffer = [0; 512];
        let read = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let hear_about = |what: &str| {
        let heard = std::iter::repeat_with(hear).take(20).find(|told| told.contains(what));
        heard.unwrap_or_else(|| panic!("{what} is not told"))
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A socket is handed over as descriptor 3, and to the process itself.
    let script = "exec env LISTEN_FDS=1 LISTEN_PID=$$ \"$@\" 3<&0 </dev/null";
    let child = Command::new("sh")
        .args(["-c", script, "sh", &binary(), "serve", "--config"])
        .arg(&routes)
        .args(["--admin", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut service = Service(child);
    hear_about("READY=1");
    let case = &CASES[0];
    let answer = post(address, &case.target("m", false), &[], &case.body("m", "hi", false));
    assert_eq!(answer.status(), 200, "{}", answer.text());
    service.signal(Signal::HUP);
    let told = hear_about("RELOADING=1");
    assert!(told.contains("MONOTONIC_USEC="), "{told}");
    hear_about("READY=1");
    service.signal(Signal::TERM);
    hear_about("STOPPING=1");
    assert!(service.0.wait().unwrap().success());
}
