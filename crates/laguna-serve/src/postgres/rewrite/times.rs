//! Times: what clocks and calendars say follows the zone of the session.

use chrono_tz::Tz;
use datafusion::sql::sqlparser::ast::*;

use super::{Rewriter, constant, sql, unnamed};
use crate::postgres::meaning;

/// How the type of instants of a zone is called in the engine's words; [`zone_of`] reads it.
const INSTANT: &str = "pg_timestamptz:";

/// The zone in the name of a type of instants.
pub(in crate::postgres) fn zone_of(name: &str) -> Option<Tz> {
    meaning::zone(name.strip_prefix(INSTANT)?)
}

impl Rewriter<'_> {
    pub(super) fn zone(&self) -> Tz {
        self.context.variables.zone()
    }

    /// An expression as an instant.
    pub(super) fn instant(&self, expr: &str) -> Expr {
        sql(&format!("CAST({expr} AS \"{INSTANT}{}\")", self.zone()))
    }

    /// `CAST(inner AS …)` of what is not written out to what the type of `inner` decides about; `None` where the engine means
    /// the same.
    pub(super) fn cast_of_time(&self, inner: &Expr, data_type: &DataType) -> Option<Expr> {
        let placeholder = super::parameters::placeholder(inner).is_some();
        let written = matches!(inner, Expr::Value(_)) && !placeholder || constant(inner).is_some();
        let open = placeholder && !self.context.bound;
        if written || open {
            let kind = super::casts::kind(data_type)?;
            return (kind == "timestamptz").then(|| self.instant(&inner.to_string()));
        }
        match data_type {
            DataType::Text
            | DataType::Varchar(None)
            | DataType::CharacterVarying(None)
            | DataType::String(None) => Some(sql(&format!("pg_text({inner}, '{}')", self.zone()))),
            data_type => Some(self.pg_cast(inner, &super::casts::kind(data_type)?)),
        }
    }

    /// `EXTRACT(field FROM time)`.
    pub(super) fn extract(&self, field: &str, time: &Expr) -> Option<Expr> {
        let field = field.trim_matches(['"', '\'']).to_lowercase();
        meaning::is_extracted(&field).then(|| sql(&format!("pg_extract('{field}', {time})")))
    }

    /// Functions of times.
    pub(super) fn time_function(&self, name: &str, function: &Function, arguments: &[Expr]) -> Option<Expr> {
        Some(match (name, arguments) {
            (
                "now"
                | "current_timestamp"
                | "clock_timestamp"
                | "statement_timestamp"
                | "transaction_timestamp",
                [],
            ) => self.instant("\"now\"()"),
            ("pg_postmaster_start_time" | "pg_conf_load_time", []) => self.instant("\"now\"()"),
            ("localtime", _) => self.pg_cast(format!("pg_local({})", self.instant("\"now\"()")), "time"),
            ("localtimestamp", _) => sql(&format!("pg_local({})", self.instant("\"now\"()"))),
            ("date_part", [field, time]) => {
                let extracted = self.extract(&constant(field)?, time)?;
                sql(&format!("CAST({extracted} AS DOUBLE PRECISION)"))
            }
            ("date_trunc", [unit, time]) => sql(&format!("pg_date_trunc({unit}, {time}, '{}')", self.zone())),
            ("date_trunc", [unit, time, zone]) => {
                let there = format!("date_trunc({unit}, pg_at_time_zone({time}, {zone}, '{}'))", self.zone());
                sql(&format!("pg_at_time_zone({there}, {zone}, '{}')", self.zone()))
            }
            ("to_timestamp", [seconds]) => sql(&format!(
                "pg_at_time_zone(arrow_cast(\"to_timestamp\"(CAST({seconds} AS DOUBLE PRECISION)), 'Timestamp(Microsecond, None)'), 'UTC', '{}')",
                self.zone()
            )),
            ("timezone", [zone, time]) => self.at_time_zone(time, zone),
            ("date", [time]) => self.pg_cast(time, "date"),
            ("age", [time]) => sql(&format!("age(current_date, {time})")),
            ("isfinite", [time]) => sql(&format!("CASE WHEN {time} IS NOT NULL THEN true END")),
            ("make_timestamptz", [..]) if arguments.len() >= 6 => {
                let parts: Vec<String> = arguments.iter().take(6).map(ToString::to_string).collect();
                let zone = arguments.get(6).map_or_else(|| format!("'{}'", self.zone()), ToString::to_string);
                self.instant(&format!("pg_make_timestamptz({}, {zone})", parts.join(", ")))
            }
            ("make_time", [hour, minute, second]) => {
                let time = format!("pg_make_interval(0, 0, 0, 0, {hour}, {minute}, {second})");
                sql(&format!("CAST(TIMESTAMP '2000-01-01' + {time} AS TIME)"))
            }
            ("make_interval", _) => make_interval(function)?,
            ("to_char", [value, pattern]) => {
                // The engine's own patterns have percent signs; in one for numbers it is one.
                if constant(pattern)
                    .is_some_and(|pattern| pattern.contains('%') && !pattern.contains(['9', '0']))
                {
                    return None;
                }
                sql(&format!("pg_to_char({value}, {pattern}, '{}')", self.zone()))
            }
            _ => return None,
        })
    }

    pub(super) fn at_time_zone(&self, time: &Expr, zone: &Expr) -> Expr {
        sql(&format!("pg_at_time_zone({time}, {zone}, '{}')", self.zone()))
    }
}

/// `make_interval(1, 2)` and `make_interval(days => 10)`.
fn make_interval(function: &Function) -> Option<Expr> {
    const PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let FunctionArguments::List(list) = &function.args else { return None };
    let mut values: [String; 7] = std::array::from_fn(|_| "0".to_string());
    for (index, argument) in list.args.iter().enumerate() {
        let (place, value) = match argument {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                (PARTS.iter().position(|part| name.value.eq_ignore_ascii_case(part))?, value)
            }
            FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. } => {
                let name = name.to_string();
                (PARTS.iter().position(|part| name.eq_ignore_ascii_case(part))?, value)
            }
            argument => (index, unnamed(argument)?),
        };
        *values.get_mut(place)? = value.to_string();
    }
    Some(sql(&format!("pg_make_interval({})", values.join(", "))))
}
