//! The front door: commands, output for programs, wrong projects.

use crate::kit::Project;

#[test]
fn the_flights_example_runs_and_then_does_nothing() {
    let flights = Project::copy_of("examples/flights");
    flights.ok(&["run", "--quiet"]);
    let known = [
        ("SELECT count(*) AS n FROM raw.flights", 336_776),
        ("SELECT sum(arrival_delay)::bigint AS n FROM sanitized.flights", 2_257_174),
        ("SELECT count(*) AS n FROM enhanced.carrier_daily", 5_432),
        ("SELECT count(*) AS n FROM enhanced.route_daily", 63_832),
        ("SELECT sum(seats)::bigint AS n FROM enhanced.flight_delays", 38_851_317),
        ("SELECT count(*) AS n FROM enhanced.weather_impact", 15),
    ];
    for (sql, expected) in known {
        assert_eq!(flights.rows(sql)[0]["n"], expected, "{sql}");
    }
    let again = flights.laguna(&["run", "--json"]);
    let done = again.json_lines().pop().unwrap();
    assert_eq!((again.code, &done["event"]), (0, &"done".into()));
    assert_eq!((&done["built"], &done["failed"]), (&0.into(), &0.into()));
    assert!(done["release"].is_null(), "{done}");
}
