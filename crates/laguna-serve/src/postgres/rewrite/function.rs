//! Calls of PostgreSQL's functions in the engine's words.

use datafusion::sql::sqlparser::ast::*;

use super::parameters::cast_placeholder;
use super::select::array_of;
use super::{Rewriter, catalog, constant, is_system, last_name, number, sql, text, unnamed};
use crate::postgres::variables::VERSION;

impl Rewriter<'_> {
    pub(super) fn function(&mut self, function: &mut Function) -> Option<Expr> {
        let name = last_name(&function.name);
        if is_system(&function.name) {
            function.name = ObjectName::from(vec![Ident::new(name.clone())]);
        }
        let arguments: Vec<Expr> = match &function.args {
            FunctionArguments::List(list) => list.args.iter().filter_map(unnamed).cloned().collect(),
            FunctionArguments::Subquery(query) if name == "array" => return Some(array_of(query)),
            _ => Vec::new(),
        };
        const ALIKE: [&str; 8] = [
            "coalesce",
            "greatest",
            "least",
            "nullif",
            "json_build_object",
            "jsonb_build_object",
            "json_build_array",
            "jsonb_build_array",
        ];
        if ALIKE.contains(&name.as_str())
            && arguments.iter().any(super::casts::is_exact)
            && let FunctionArguments::List(list) = &mut function.args
        {
            for argument in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                    super::casts::write_exactly(expr);
                }
            }
        }
        let argument = |index: usize| arguments.get(index).and_then(constant);
        let context = self.context;
        if function.name.0.iter().all(is_bare) {
            let found = self
                .time_function(&name, function, &arguments)
                .or_else(|| self.json_function(&name, function, &arguments))
                .or_else(|| aggregate(&name, function, &arguments))
                .or_else(|| self.joined(&name, function, &arguments))
                .or_else(|| plain(&name, &arguments));
            if found.is_some() {
                return found;
            }
        }
        // Places of rows are whole numbers that can be subtracted.
        if ["rank", "dense_rank", "row_number", "ntile"].contains(&name.as_str())
            && function.over.is_some()
            && function.name.0.iter().all(is_bare)
        {
            let mut numbers = function.clone();
            // In quotes it is left as it is.
            numbers.name = ObjectName::from(vec![Ident::with_quote('"', name)]);
            return Some(sql(&format!("CAST({numbers} AS BIGINT)")));
        }
        Some(match name.as_str() {
            "version" => text(&format!(
                "PostgreSQL {VERSION} (Laguna {}) on {}-{}, 64-bit",
                env!("CARGO_PKG_VERSION"),
                std::env::consts::ARCH,
                std::env::consts::OS
            )),
            "current_user" | "session_user" | "user" | "current_role" => text(context.user),
            "current_database" | "current_catalog" => text(catalog::DATABASE),
            "current_schema" => self.schema(),
            "current_schemas" => {
                let implicit =
                    arguments.first().is_some_and(|all| all.to_string().eq_ignore_ascii_case("true"));
                let path = context.variables.path();
                let shown = path.iter().filter(|schema| implicit || *schema != "pg_catalog");
                let items: Vec<String> = shown.map(|schema| format!("'{schema}'")).collect();
                sql(&format!("CAST(ARRAY[{}] AS TEXT[])", items.join(", ")))
            }
            "pg_backend_pid" => number(context.pid),
            "pg_cancel_backend" | "pg_terminate_backend" => {
                let session = name == "pg_terminate_backend";
                let written = arguments.first()?;
                let pid = match constant(written).unwrap_or_else(|| written.to_string()).parse() {
                    Ok(pid) => pid,
                    Err(_) if super::catalogs::is_session(written) => self.asked?,
                    Err(_) => return None,
                };
                self.ended.push(super::Ending { pid, session });
                sql(if (context.sessions)().contains(&pid) { "true" } else { "false" })
            }
            "current_setting" => match argument(0).map(|name| context.variables.get(&name)) {
                Some(Ok(value)) => text(&value),
                // PostgreSQL has hundreds; clients ask for some that mean nothing here.
                _ => sql("CAST(NULL AS TEXT)"),
            },
            // Before its value is bound.
            "set_config" if arguments.get(1).and_then(cast_placeholder).is_some() => {
                sql(&format!("CAST({} AS TEXT)", arguments[1]))
            }
            "set_config" => {
                let (name, value) = (argument(0)?, argument(1)?);
                let local =
                    arguments.get(2).is_some_and(|local| local.to_string().eq_ignore_ascii_case("true"));
                self.set.push((name, value.clone(), local));
                text(&value)
            }
            "pg_is_in_recovery" | "pg_is_wal_replay_paused" | "pg_is_other_temp_schema" => sql("false"),
            "pg_my_temp_schema" => number(0),
            "pg_blocking_pids" => sql("CAST(ARRAY[] AS INT[])"),
            "host" if arguments.len() == 1 => sql(&format!("CAST({} AS TEXT)", arguments[0])),
            "inet_server_port" | "inet_client_port" => sql("CAST(NULL AS INT)"),
            "txid_current" | "pg_current_xact_id" => number(1),
            "inet_server_addr"
            | "inet_client_addr"
            | "pg_get_serial_sequence"
            | "pg_current_wal_lsn"
            | "txid_current_if_assigned"
            | "pg_describe_object" => sql("CAST(NULL AS TEXT)"),
            "getdatabaseencoding" => text("UTF8"),
            "pg_char_to_encoding" => number(6),
            "pg_encoding_max_length" => number(4),
            "pg_table_is_visible" => {
                let path: Vec<String> = context
                    .variables
                    .path()
                    .iter()
                    .map(|schema| format!("'{}'", schema.replace('\'', "''")))
                    .collect();
                sql(&format!(
                    "({} IN (SELECT pg_c__.oid FROM pg_catalog.pg_class pg_c__ JOIN pg_catalog.pg_namespace pg_n__ \
                     ON pg_n__.oid = pg_c__.relnamespace WHERE pg_n__.nspname IN ({})))",
                    arguments.first()?,
                    path.join(", ")
                ))
            }
            "to_regclass" => match argument(0) {
                Some(name) => self.relation(&name),
                None => return None,
            },
            "to_regtype" => match argument(0) {
                Some(name) => match catalog::type_oid(&name) {
                    Some(oid) => number(oid),
                    None => sql("CAST(NULL AS INT)"),
                },
                None => sql(&format!("pg_type_named({})", arguments.first()?)),
            },
            "to_regnamespace" => number(catalog::schema_oid(&argument(0)?)),
            "col_description" => sql(&format!(
                "(SELECT max(pg_d__.description) FROM pg_catalog.pg_description pg_d__ \
                 WHERE pg_d__.objoid = {} AND pg_d__.objsubid = {})",
                arguments.first()?,
                arguments.get(1)?
            )),
            "obj_description" => sql(&format!(
                "(SELECT max(pg_d__.description) FROM pg_catalog.pg_description pg_d__ \
                 WHERE pg_d__.objoid = {} AND pg_d__.objsubid = 0)",
                arguments.first()?
            )),
            "parse_ident" => {
                let written = argument(0)?;
                let parts = written.split('.').map(|part| match part.strip_prefix('"') {
                    Some(quoted) => quoted.trim_end_matches('"').to_string(),
                    None => part.to_lowercase(),
                });
                let parts: Vec<String> = parts.map(|part| text(&part).to_string()).collect();
                sql(&format!("ARRAY[{}]", parts.join(", ")))
            }
            "array_upper" | "array_lower" => {
                let array = arguments.first()?;
                match name.as_str() {
                    "array_upper" => sql(&format!("CAST(array_length({array}) AS BIGINT)")),
                    _ => number(1),
                }
            }
            "to_timestamp" | "to_date" if arguments.len() == 2 => {
                let format = chrono_format(&argument(1)?)?;
                let kind = if name == "to_date" { "date" } else { "timestamptz" };
                sql(&format!("pg_to_time({}, '{format}', '{kind}', '{}')", arguments[0], self.zone()))
            }
            "generate_series" if function.name.0.iter().all(is_bare) => {
                let arguments: Vec<&Expr> = arguments.iter().collect();
                return (arguments.len() > 1)
                    .then(|| sql(&format!("unnest({})", super::relations::series(&arguments))));
            }
            "gen_random_uuid" => sql("uuid()"),
            "array_agg" | "string_agg" if function.name.0.iter().all(is_bare) => sorted(function)?,
            "round" | "trunc" if arguments.first().is_some_and(super::casts::is_exact) => {
                let rest: String = arguments[1..].iter().map(|digits| format!(", {digits}")).collect();
                sql(&format!("pg_{name}(CAST({} AS NUMERIC){rest})", arguments[0]))
            }
            "round" | "trunc" if matches!(arguments.len(), 1 | 2) => renamed(function, &format!("pg_{name}")),
            "variance" => renamed(function, "var_samp"),
            "every" => renamed(function, "bool_and"),
            "format" => formatted(&argument(0)?, arguments.get(1..)?)?,
            _ => return None,
        })
    }
}

impl Rewriter<'_> {
    /// Functions that write their arguments into one text.
    fn joined(&self, name: &str, function: &Function, arguments: &[Expr]) -> Option<Expr> {
        let written = |value: &Expr| match value {
            value if constant(value).is_some() => value.to_string(),
            Expr::Function(inner) if last_name(&inner.name) == "pg_shown" => value.to_string(),
            value => format!("pg_shown({value}, '{}')", self.zone()),
        };
        let (kept, shown) = match (name, arguments) {
            ("concat", [_, ..]) => arguments.split_at(0),
            ("concat_ws", [_, _, ..]) => arguments.split_at(1),
            ("array_to_string", [list, rest @ ..]) => {
                let rest: String = rest.iter().map(|argument| format!(", {argument}")).collect();
                return Some(sql(&format!("\"array_to_string\"({}{rest})", written(list))));
            }
            _ => return None,
        };
        let plain =
            matches!(&function.args, FunctionArguments::List(list) if list.args.len() == arguments.len());
        let all = kept.iter().map(ToString::to_string).chain(shown.iter().map(written));
        plain.then(|| sql(&format!("\"{name}\"({})", all.collect::<Vec<_>>().join(", "))))
    }
}

/// An aggregate of different values lists them in order, as PostgreSQL finds them.
fn sorted(function: &Function) -> Option<Expr> {
    let mut sorted = function.clone();
    let FunctionArguments::List(list) = &mut sorted.args else { return None };
    let value = list.args.first().and_then(unnamed)?.clone();
    let ordered = list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
    if list.duplicate_treatment != Some(DuplicateTreatment::Distinct) || ordered || sorted.over.is_some() {
        return None;
    }
    let by = OrderByExpr { expr: value, options: OrderByOptions::default(), with_fill: None };
    list.clauses.push(FunctionArgumentClause::OrderBy(vec![by]));
    Some(Expr::Function(sorted))
}

/// Functions that are others, or expressions, in the engine's words.
fn plain(name: &str, arguments: &[Expr]) -> Option<Expr> {
    let nulls = |test: &str| {
        let all: Vec<String> =
            arguments.iter().map(|value| format!("CASE WHEN {value} {test} THEN 1 ELSE 0 END")).collect();
        sql(&format!("({})", all.join(" + ")))
    };
    Some(match (name, arguments) {
        ("array_length", [list, dimension]) if dimension.to_string() == "1" => {
            sql(&format!("CAST(nullif(\"array_length\"({list}), 0) AS INTEGER)"))
        }
        ("array_to_json", [list]) => sql(&format!("to_json({list})")),
        ("mod", [a, b]) => sql(&format!("(({a}) % ({b}))")),
        ("sign", [a]) => sql(&format!("signum({a})")),
        ("array_remove", [list, item]) => sql(&format!("array_remove_all({list}, {item})")),
        ("array_replace", [list, from, to]) => sql(&format!("array_replace_all({list}, {from}, {to})")),
        ("ceil" | "ceiling", [a]) => sql(&format!("pg_trunc(\"ceil\"({a}))")),
        ("floor", [a]) => sql(&format!("pg_trunc(\"floor\"({a}))")),
        ("div", [a, b]) => sql(&format!("trunc(({a}) / ({b}))")),
        ("width_bucket", [value, low, high, count]) => sql(&format!(
            "CAST(CASE WHEN {value} < {low} THEN 0 WHEN {value} >= {high} THEN {count} + 1 ELSE \
             floor(CAST({value} - {low} AS DOUBLE PRECISION) / CAST({high} - {low} AS DOUBLE PRECISION) * {count}) + 1 \
             END AS INTEGER)"
        )),
        ("num_nulls", [_, ..]) => nulls("IS NULL"),
        ("num_nonnulls", [_, ..]) => nulls("IS NOT NULL"),
        ("convert_from", [bytes, _]) => sql(&format!("arrow_cast({bytes}, 'Utf8')")),
        ("convert_to", [text, _]) => sql(&format!("arrow_cast({text}, 'Binary')")),
        ("string_to_table", [value, separator]) => {
            sql(&format!("unnest(string_to_array({value}, {separator}))"))
        }
        ("regexp_split_to_array", [value, pattern]) => {
            sql(&format!("pg_regexp_split({value}, {pattern}, '')"))
        }
        ("regexp_split_to_array", [value, pattern, flags]) => {
            sql(&format!("pg_regexp_split({value}, {pattern}, {flags})"))
        }
        ("regexp_split_to_table", [value, pattern]) => {
            sql(&format!("unnest(pg_regexp_split({value}, {pattern}, ''))"))
        }
        ("regexp_matches", [value, pattern]) => {
            sql(&format!("unnest(pg_regexp_matches({value}, {pattern}, ''))"))
        }
        ("regexp_matches", [value, pattern, flags]) => {
            sql(&format!("unnest(pg_regexp_matches({value}, {pattern}, {flags}))"))
        }
        ("regexp_substr", [value, pattern]) => {
            sql(&format!("pg_regexp_part({value}, '(' || {pattern} || ')', '')"))
        }
        ("substring", [value, pattern]) if constant(pattern).is_some() => {
            sql(&format!("pg_regexp_part({value}, {pattern}, '')"))
        }
        ("to_number", [value, _]) => {
            sql(&format!("CAST(regexp_replace({value}, '[^-0-9.]', '', 'g') AS NUMERIC)"))
        }
        _ => return None,
    })
}

/// Aggregates over what they order, as functions of a list.
fn aggregate(name: &str, function: &Function, arguments: &[Expr]) -> Option<Expr> {
    let [order] = function.within_group.as_slice() else { return None };
    let mut call = function.clone();
    call.within_group.clear();
    if let FunctionArguments::None = call.args {
        return None;
    }
    if let FunctionArguments::List(list) = &mut call.args {
        list.clauses.clear();
    }
    let list = super::json::listed(&call, &order.expr)?;
    let descending = order.options.asc == Some(false);
    let several = |share: &Expr| {
        let mut share = share;
        while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = share {
            share = inner;
        }
        matches!(share, Expr::Array(_)) || constant(share).is_some_and(|text| text.starts_with('{'))
    };
    Some(match (name, arguments) {
        ("mode", []) => sql(&format!("pg_mode({list}, {descending})")),
        ("percentile_disc", [share]) => sql(&format!("pg_percentile_disc({list}, {descending}, {share})")),
        ("percentile_cont", [share]) if several(share) => {
            sql(&format!("pg_percentile_cont({list}, {descending}, {share})"))
        }
        _ => return None,
    })
}

/// Whether a name is written without quotes.
fn is_bare(part: &ObjectNamePart) -> bool {
    part.as_ident().is_none_or(|ident| ident.quote_style.is_none())
}

/// The same call of a function that the engine calls otherwise.
fn renamed(function: &Function, name: &str) -> Expr {
    let mut function = function.clone();
    function.name = ObjectName::from(vec![Ident::new(name)]);
    Expr::Function(function)
}

/// `format('…%s…', a)` as a concatenation; `None` for what else it can write.
fn formatted(pattern: &str, arguments: &[Expr]) -> Option<Expr> {
    let mut parts = Vec::new();
    let mut arguments = arguments.iter();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        parts.push(text(before).to_string());
        match after.chars().next()? {
            's' => parts.push(format!("coalesce(CAST({} AS TEXT), '')", arguments.next()?)),
            'I' => parts.push(format!("quote_ident({})", arguments.next()?)),
            'L' => parts.push(format!("coalesce(quote_literal({}), 'NULL')", arguments.next()?)),
            '%' => parts.push("'%'".to_string()),
            _ => return None,
        }
        rest = &after[1..];
    }
    parts.push(text(rest).to_string());
    Some(sql(&format!("({})", parts.join(" || "))))
}

/// PostgreSQL's patterns of times in chrono's words; `None` when they are chrono's already, or unknown.
fn chrono_format(pattern: &str) -> Option<String> {
    const PATTERNS: [(&str, &str); 34] = [
        ("HH24", "%H"),
        ("HH12", "%I"),
        ("HH", "%I"),
        ("MI", "%M"),
        ("SS.US", "%S%.6f"),
        ("SS.MS", "%S%.3f"),
        ("SS", "%S"),
        ("MS", "%3f"),
        ("US", "%6f"),
        ("YYYY", "%Y"),
        ("YY", "%y"),
        ("IYYY", "%G"),
        ("IW", "%V"),
        ("FMMONTH", "%B"),
        ("FMMonth", "%B"),
        ("Month", "%B"),
        ("MONTH", "%B"),
        ("Mon", "%b"),
        ("MON", "%b"),
        ("FMMM", "%-m"),
        ("MM", "%m"),
        ("FMDD", "%-d"),
        ("DDD", "%j"),
        ("DD", "%d"),
        ("FMDay", "%A"),
        ("Day", "%A"),
        ("Dy", "%a"),
        ("DY", "%a"),
        ("D", "%w"),
        ("AM", "%p"),
        ("PM", "%p"),
        ("TZH:TZM", "%:z"),
        ("TZH", "%#z"),
        ("TZ", "%Z"),
    ];
    if pattern.contains('%') {
        return None;
    }
    let mut rest = pattern;
    let mut format = String::new();
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            format.push_str(quoted.0);
            rest = quoted.1;
            continue;
        }
        let found = PATTERNS.iter().find(|(pattern, _)| {
            rest.get(..pattern.len()).is_some_and(|start| start.eq_ignore_ascii_case(pattern))
        });
        match found {
            Some((pattern, chrono)) => {
                format.push_str(chrono);
                rest = &rest[pattern.len()..];
            }
            None => {
                format.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Some(format.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_times_become_chronos() {
        assert_eq!(chrono_format("YYYY-MM-DD HH24:MI:SS.US").unwrap(), "%Y-%m-%d %H:%M:%S%.6f");
        assert_eq!(chrono_format("YYYY\"W\"IW").unwrap(), "%YW%V");
    }
}
