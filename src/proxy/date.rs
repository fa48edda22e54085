//! The `date` header, formatted once a second and worker (RFC 9110, section 5.6.7).

use http::HeaderValue;
use std::cell::RefCell;
use std::time::{Duration, SystemTime};

thread_local! {
    static LAST: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))) };
}

/// The value for this second.
pub fn now() -> HeaderValue {
    let second =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    LAST.with_borrow_mut(|(at, value)| {
        if *at != second {
            *at = second;
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            if let Ok(fresh) = HeaderValue::from_str(&httpdate::fmt_http_date(time)) {
                *value = fresh;
            }
        }
        value.clone()
    })
}
