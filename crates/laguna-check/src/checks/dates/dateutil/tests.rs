//! What dateutil says of texts, asked of it.

use super::reads;

#[test]
fn texts_are_dates_where_dateutil_says_so() {
    for good in [
        "2024-01-02",
        "03/06/09",
        "21 June 2014",
        "Thu Sep 25 10:36:28 2003",
        "2003-09-25T10:49:41.5-03:00",
        "10am",
        "20030925T104941",
        "199709020908",
        "Sep 25 2003",
        "25 of September 2003",
        "1996.July.10 AD 12:08 PM",
        "10h36m28.5s",
        "Wed, July 10, '96",
        "5",
        "2003-09-25 10:49 GMT+3",
        "Jan 1 1999 11:23:34.578",
        "0031-01-01",
        "Monday",
        "12:00 PM PST",
        "2024-01-01-01-01",
        "2016-05-01 23:59:59.123456789",
        "1 1 2020",
    ] {
        assert!(reads(good), "{good}");
    }
    for wrong in [
        "",
        "quack",
        "2024-13-45",
        "31 Feb 2020",
        "25:00",
        "a",
        "99999999999",
        "12:61",
        "not a date 5",
        "1/2/3/4/5",
        "am",
        "..",
        "inf",
        "nan",
    ] {
        assert!(!reads(wrong), "{wrong}");
    }
}
