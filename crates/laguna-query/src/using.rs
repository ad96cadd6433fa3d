//! `RIGHT` and `FULL JOIN … USING`: the shared column is the one of the side that has the row, as the SQL standard says
//! (ISO/IEC 9075-2, 7.10 <joined table>). The engine takes that of the left side, which is null where only the right has a row.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::*;
use laguna_base::{Error, Result};
use laguna_sql::is_same;

/// Writes the shared columns of such joins out.
pub(crate) fn merge(ast: &mut Statement) -> Result<()> {
    match VisitMut::visit(ast, &mut Merger) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Merger;

impl VisitorMut for Merger {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        let found = match change(select) {
            Ok(Some(found)) => found,
            Ok(None) => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(error),
        };
        if let Some(OrderBy { kind: OrderByKind::Expressions(order), .. }) = &mut query.order_by {
            for by in order {
                // By itself, the name is that of a column of the result, where there is one.
                let result =
                    matches!(&by.expr, Expr::Identifier(name) if is_column(&select.projection, name));
                if !result {
                    found.write_out(&mut by.expr);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// A table of a FROM, and those of its columns that are shared.
struct Part {
    name: Ident,
    shared: Vec<Ident>,
}

/// What the shared columns of a select are.
#[derive(Default)]
struct Shared {
    columns: Vec<(Ident, Expr)>,
    parts: Vec<Part>,
}

impl Shared {
    fn get(&self, name: &Ident) -> Option<&Expr> {
        self.columns.iter().find(|(known, _)| is_same(known, name)).map(|(_, merged)| merged)
    }

    /// Puts what they are in the place of names without a table, but not within subqueries, whose names may be their own.
    fn write_out(&self, expr: &mut Expr) {
        struct Names<'a>(&'a Shared, usize);
        impl VisitorMut for Names<'_> {
            type Break = ();
            fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
                self.1 += 1;
                ControlFlow::Continue(())
            }
            fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
                self.1 -= 1;
                ControlFlow::Continue(())
            }
            fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
                if let Expr::Identifier(name) = expr
                    && self.1 == 0
                    && let Some(merged) = self.0.get(name)
                {
                    *expr = merged.clone();
                }
                ControlFlow::Continue(())
            }
        }
        let _ = VisitMut::visit(expr, &mut Names(self, 0));
    }

    /// `*`: the shared columns, then those of each table that are its own.
    fn all(&self) -> Vec<SelectItem> {
        let shared = self
            .columns
            .iter()
            .map(|(name, merged)| SelectItem::ExprWithAlias { expr: merged.clone(), alias: name.clone() });
        let own = self.parts.iter().map(|part| {
            let name = ObjectName::from(vec![part.name.clone()]);
            let excluded = part.shared.iter().map(|name| ObjectName::from(vec![name.clone()])).collect();
            let options = WildcardAdditionalOptions {
                opt_exclude: (!part.shared.is_empty()).then_some(ExcludeSelectItem::Multiple(excluded)),
                ..WildcardAdditionalOptions::default()
            };
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
        });
        shared.chain(own).collect()
    }
}

fn change(select: &mut Select) -> Result<Option<Shared>> {
    let other_side = |join: &Join| match &join.join_operator {
        JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint.clone()),
        _ => None,
    };
    let sided: Vec<JoinConstraint> =
        select.from.iter().flat_map(|table| &table.joins).filter_map(other_side).collect();
    if sided.contains(&JoinConstraint::Natural) && has_bare_names(select) {
        return Err(refusal("a NATURAL RIGHT or FULL JOIN whose columns are named without a table"));
    }
    if !sided.iter().any(|constraint| matches!(constraint, JoinConstraint::Using(_))) {
        return Ok(None);
    }
    let mut shared = Shared::default();
    for table in &mut select.from {
        join_all(table, &mut shared)?;
    }
    let mut projection = Vec::new();
    for mut item in std::mem::take(&mut select.projection) {
        match &mut item {
            SelectItem::Wildcard(options) if *options == WildcardAdditionalOptions::default() => {
                projection.extend(shared.all());
                continue;
            }
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                if let Some(merged) = shared.get(name) {
                    item = SelectItem::ExprWithAlias { expr: merged.clone(), alias: name.clone() };
                }
            }
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => shared.write_out(expr),
            _ => {}
        }
        projection.push(item);
    }
    select.projection = projection;
    let conditions = select.selection.iter_mut().chain(&mut select.having).chain(&mut select.qualify);
    conditions.for_each(|condition| shared.write_out(condition));
    if let GroupByExpr::Expressions(by, _) = &mut select.group_by {
        by.iter_mut().for_each(|key| shared.write_out(key));
    }
    Ok(Some(shared))
}

/// Makes `USING` conditions of `table`, in which every name has its table.
fn join_all(table: &mut TableWithJoins, shared: &mut Shared) -> Result<()> {
    let first = shared.parts.len();
    let part = |factor: &TableFactor| {
        let name = name_of(factor).ok_or_else(|| {
            refusal("a RIGHT or FULL JOIN USING of something without a name").hint("give it a name with AS")
        })?;
        Ok::<_, Error>(Part { name, shared: Vec::new() })
    };
    shared.parts.push(part(&table.relation)?);
    for join in &mut table.joins {
        let mut right = part(&join.relation)?;
        let (constraint, keeps) = match &mut join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint) => (constraint, (true, false)),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (constraint, (false, true))
            }
            JoinOperator::FullOuter(constraint) => (constraint, (true, true)),
            _ => {
                shared.parts.push(right);
                continue;
            }
        };
        if let JoinConstraint::Using(columns) = constraint {
            let mut conditions = Vec::new();
            for column in std::mem::take(columns) {
                let Some(name) = column.0.last().and_then(|part| part.as_ident()).cloned() else { continue };
                let of_right = Expr::CompoundIdentifier(vec![right.name.clone(), name.clone()]);
                let of_left = match shared.get(&name).cloned() {
                    Some(merged) => merged,
                    None if shared.parts.len() == first + 1 => {
                        shared.parts[first].shared.push(name.clone());
                        Expr::CompoundIdentifier(vec![shared.parts[first].name.clone(), name.clone()])
                    }
                    None => {
                        let several = "a RIGHT or FULL JOIN beside a USING over several tables";
                        return Err(refusal(several).hint("write ON, with the table of each column"));
                    }
                };
                let merged = match keeps {
                    (true, true) => coalesce(of_left.clone(), of_right.clone()),
                    (true, false) => of_left.clone(),
                    _ => of_right.clone(),
                };
                right.shared.push(name.clone());
                match shared.columns.iter_mut().find(|(known, _)| is_same(known, &name)) {
                    Some((_, known)) => *known = merged,
                    None => shared.columns.push((name, merged)),
                }
                conditions.push(Expr::BinaryOp {
                    left: Box::new(of_left),
                    op: BinaryOperator::Eq,
                    right: Box::new(of_right),
                });
            }
            let both = |left, right| Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::And,
                right: Box::new(right),
            };
            if let Some(condition) = conditions.into_iter().reduce(both) {
                *constraint = JoinConstraint::On(condition);
            }
        }
        shared.parts.push(right);
    }
    Ok(())
}

fn coalesce(one: Expr, other: Expr) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(one), argument(other)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn name_of(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

/// Whether a select has `*`, or names without a table.
fn has_bare_names(select: &Select) -> bool {
    let bare = |expr: &Expr| {
        let part = |part: &Expr| match part {
            Expr::Identifier(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        visit_expressions(expr, part).is_break()
    };
    let in_item = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => bare(expr),
        SelectItem::QualifiedWildcard(..) => false,
        _ => true,
    };
    select.projection.iter().any(in_item) || select.selection.iter().any(bare)
}

fn is_column(projection: &[SelectItem], name: &Ident) -> bool {
    projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => is_same(alias, name),
        _ => false,
    })
}

fn refusal(what: &str) -> Error {
    Error::project(format!("{what} is not supported"))
        .sqlstate("0A000")
        .hint("write USING (column, …) between two tables, or ON with the table of each column")
}
