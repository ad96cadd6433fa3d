//! Who depends on whom: datasets and models, the order in which they run, and cycles with the way around them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use laguna_base::TableName;

/// Datasets and models with their edges. Both kinds of edges are free of cycles.
#[derive(Debug, Default, Clone)]
pub struct Graph {
    upstream: BTreeMap<TableName, BTreeSet<TableName>>,
    downstream: BTreeMap<TableName, BTreeSet<TableName>>,
    waits: BTreeMap<TableName, BTreeSet<TableName>>,
    order: Vec<TableName>,
    layers: Vec<Vec<TableName>>,
    left_out: Vec<(TableName, TableName)>,
}

/// Edges that cannot stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<TableName>);

/// Nodes with no edges answer with this.
static NONE: BTreeSet<TableName> = BTreeSet::new();

impl Graph {
    /// Builds the graph of `nodes`, each with the nodes that its SQL reads.
    ///
    /// `checks` are what a node's checks read besides: such an edge is kept for the order unless it would close a
    /// cycle, see [`Graph::left_out`]. Every cycle of the SQL's own edges
    /// is an error, one for each group of nodes that hang together, each starting with its smallest name.
    pub fn new(
        nodes: &BTreeMap<TableName, BTreeSet<TableName>>,
        checks: &BTreeMap<TableName, BTreeSet<TableName>>,
    ) -> Result<Graph, Vec<Cycle>> {
        let mut graph = Graph::default();
        for node in nodes.keys() {
            graph.upstream.entry(node.clone()).or_default();
            graph.downstream.entry(node.clone()).or_default();
        }
        for (node, inputs) in nodes {
            for input in inputs.iter().filter(|input| nodes.contains_key(*input)) {
                graph.upstream.entry(node.clone()).or_default().insert(input.clone());
                graph.downstream.entry(input.clone()).or_default().insert(node.clone());
            }
        }
        graph.waits = graph.upstream.clone();
        let stuck = graph.sort();
        if !stuck.is_empty() {
            return Err(cycles(&graph.upstream, &stuck));
        }
        let mut added = false;
        for (node, inputs) in checks {
            for input in inputs.iter().filter(|input| *input != node && nodes.contains_key(*input)) {
                if graph.waits.get(node).is_none_or(|waits| waits.contains(input)) {
                    continue;
                }
                if graph.reaches(input, node) {
                    graph.left_out.push((node.clone(), input.clone()));
                } else {
                    graph.waits.entry(node.clone()).or_default().insert(input.clone());
                    added = true;
                }
            }
        }
        if added {
            graph.sort();
        }
        Ok(graph)
    }

    /// What the SQL of `node` reads directly.
    pub fn upstream(&self, node: &TableName) -> &BTreeSet<TableName> {
        self.upstream.get(node).unwrap_or(&NONE)
    }

    /// Whose SQL reads `node` directly.
    pub fn downstream(&self, node: &TableName) -> &BTreeSet<TableName> {
        self.downstream.get(node).unwrap_or(&NONE)
    }

    /// What must be done before `node` can run: what its SQL reads and, where no cycle comes of it, what its checks read.
    pub fn waits_for(&self, node: &TableName) -> &BTreeSet<TableName> {
        self.waits.get(node).unwrap_or(&NONE)
    }

    /// All nodes, each after what it waits for; datasets first, by name within a layer.
    pub fn order(&self) -> &[TableName] {
        &self.order
    }

    /// The nodes in layers: those of one layer wait only for earlier layers.
    pub fn layers(&self) -> &[Vec<TableName>] {
        &self.layers
    }

    /// Reads of checks that the order does not respect, because they would close a circle: (node, what its checks read).
    pub fn left_out(&self) -> &[(TableName, TableName)] {
        &self.left_out
    }

    /// Everything upstream of `node` within `steps` (`None`: all the way), itself left out.
    pub fn ancestors(&self, node: &TableName, steps: Option<usize>) -> BTreeSet<TableName> {
        walk(&self.upstream, node, steps)
    }

    /// Everything downstream of `node` within `steps` (`None`: all the way), itself left out.
    pub fn descendants(&self, node: &TableName, steps: Option<usize>) -> BTreeSet<TableName> {
        walk(&self.downstream, node, steps)
    }

    /// Whether `from` waits for `to`, directly or not.
    fn reaches(&self, from: &TableName, to: &TableName) -> bool {
        let mut seen = BTreeSet::from([from]);
        let mut next = vec![from];
        while let Some(node) = next.pop() {
            if node == to {
                return true;
            }
            next.extend(self.waits_for(node).iter().filter(|input| seen.insert(*input)));
        }
        false
    }

    /// Fills layers and order from `waits`; returns the nodes that lie on or behind a cycle.
    fn sort(&mut self) -> BTreeSet<TableName> {
        let mut open: BTreeMap<&TableName, usize> =
            self.waits.iter().map(|(node, inputs)| (node, inputs.len())).collect();
        let mut readers: BTreeMap<&TableName, Vec<&TableName>> = BTreeMap::new();
        for (node, inputs) in &self.waits {
            for input in inputs {
                readers.entry(input).or_default().push(node);
            }
        }
        let mut layers = Vec::new();
        let mut ready: BTreeSet<&TableName> =
            open.iter().filter(|(_, count)| **count == 0).map(|(node, _)| *node).collect();
        while !ready.is_empty() {
            let mut next = BTreeSet::new();
            for node in &ready {
                open.remove(*node);
                for reader in readers.get(*node).into_iter().flatten() {
                    if let Some(count) = open.get_mut(*reader) {
                        *count -= 1;
                        if *count == 0 {
                            next.insert(*reader);
                        }
                    }
                }
            }
            layers.push(ready.into_iter().cloned().collect::<Vec<_>>());
            ready = next;
        }
        let stuck = open.into_keys().cloned().collect();
        self.order = layers.iter().flatten().cloned().collect();
        self.layers = layers;
        stuck
    }
}

fn walk(
    edges: &BTreeMap<TableName, BTreeSet<TableName>>,
    start: &TableName,
    steps: Option<usize>,
) -> BTreeSet<TableName> {
    let mut found = BTreeSet::new();
    let mut queue = VecDeque::from([(start, 0)]);
    while let Some((node, distance)) = queue.pop_front() {
        if steps.is_some_and(|steps| distance >= steps) {
            continue;
        }
        for next in edges.get(node).into_iter().flatten() {
            if next != start && found.insert(next.clone()) {
                queue.push_back((next, distance + 1));
            }
        }
    }
    found
}

/// One shortest cycle for each group of stuck nodes that lie on a common cycle.
fn cycles(edges: &BTreeMap<TableName, BTreeSet<TableName>>, stuck: &BTreeSet<TableName>) -> Vec<Cycle> {
    let mut cycles = Vec::new();
    let mut done: BTreeSet<TableName> = BTreeSet::new();
    for start in stuck {
        if done.contains(start) {
            continue;
        }
        let Some(path) = way_back(edges, start) else { continue };
        // Whatever reads and is read by the start, at any distance, hangs in the same knot: one report is enough.
        let before = walk(edges, start, None);
        done.extend(
            stuck
                .iter()
                .filter(|node| before.contains(*node) && walk(edges, node, None).contains(start))
                .cloned(),
        );
        cycles.push(Cycle(path));
    }
    cycles
}

/// The shortest way from `start` back to it in the direction of the data, both ends included.
fn way_back(edges: &BTreeMap<TableName, BTreeSet<TableName>>, start: &TableName) -> Option<Vec<TableName>> {
    let mut came_from: BTreeMap<&TableName, &TableName> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in edges.get(node).into_iter().flatten() {
            if next == start {
                let mut path = vec![start.clone(), node.clone()];
                let mut at = node;
                while at != start {
                    at = came_from.get(at)?;
                    path.push(at.clone());
                }
                return Some(path);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, node);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> TableName {
        text.parse().unwrap()
    }

    fn edges(list: &[(&str, &[&str])]) -> BTreeMap<TableName, BTreeSet<TableName>> {
        list.iter()
            .map(|(node, inputs)| (name(node), inputs.iter().map(|input| name(input)).collect()))
            .collect()
    }

    #[test]
    fn layers_follow_the_edges() {
        let nodes = edges(&[
            ("raw.a", &[]),
            ("sanitized.a", &["raw.a"]),
            ("sanitized.b", &["raw.a"]),
            ("enhanced.c", &["sanitized.a", "sanitized.b"]),
        ]);
        let graph = Graph::new(&nodes, &edges(&[("sanitized.a", &["sanitized.b"])])).unwrap();
        let layers: Vec<usize> = graph.layers().iter().map(Vec::len).collect();
        assert_eq!(layers, [1, 1, 1, 1]);
        assert_eq!(graph.upstream(&name("sanitized.a")).len(), 1);
        assert_eq!(graph.waits_for(&name("sanitized.a")).len(), 2);
        assert_eq!(graph.ancestors(&name("enhanced.c"), Some(1)).len(), 2);
        assert_eq!(graph.descendants(&name("raw.a"), None).len(), 3);
    }

    #[test]
    fn each_knot_is_reported_once_as_a_path() {
        let nodes = edges(&[
            ("enhanced.a", &["enhanced.c"]),
            ("enhanced.b", &["enhanced.a"]),
            ("enhanced.c", &["enhanced.b"]),
            ("enhanced.d", &["enhanced.a"]),
            ("enhanced.x", &["enhanced.y"]),
            ("enhanced.y", &["enhanced.x"]),
        ]);
        let cycles = Graph::new(&nodes, &BTreeMap::new()).unwrap_err();
        let paths: Vec<String> = cycles
            .iter()
            .map(|Cycle(path)| path.iter().map(|node| node.table.clone()).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(paths, ["a b c a", "x y x"]);
    }

    #[test]
    fn checks_that_look_at_each_other_do_not_block() {
        let nodes = edges(&[("sanitized.a", &[]), ("sanitized.b", &[])]);
        let checks = edges(&[("sanitized.a", &["sanitized.b"]), ("sanitized.b", &["sanitized.a"])]);
        let graph = Graph::new(&nodes, &checks).unwrap();
        assert_eq!(graph.left_out(), [(name("sanitized.b"), name("sanitized.a"))]);
        assert_eq!(graph.order(), [name("sanitized.b"), name("sanitized.a")]);
    }

    proptest! {
        #[test]
        fn the_order_respects_every_edge_or_a_true_cycle_is_shown(
            pairs in prop::collection::vec((0usize..12, 0usize..12), 0..40)
        ) {
            let mut nodes: BTreeMap<TableName, BTreeSet<TableName>> = BTreeMap::new();
            for node in 0..12 {
                nodes.insert(name(&format!("enhanced.t{node}")), BTreeSet::new());
            }
            for (from, to) in pairs {
                nodes.get_mut(&name(&format!("enhanced.t{from}"))).unwrap().insert(name(&format!("enhanced.t{to}")));
            }
            match Graph::new(&nodes, &BTreeMap::new()) {
                Ok(graph) => {
                    prop_assert_eq!(graph.order().len(), nodes.len());
                    let at: BTreeMap<_, _> = graph.order().iter().enumerate().map(|(i, n)| (n.clone(), i)).collect();
                    for (node, inputs) in &nodes {
                        for input in inputs {
                            prop_assert!(at[input] < at[node]);
                        }
                    }
                }
                Err(cycles) => {
                    prop_assert!(!cycles.is_empty());
                    for Cycle(path) in cycles {
                        prop_assert_eq!(path.first(), path.last());
                        // The path is shown in the direction of the data: each node is read by the next.
                        for step in path.windows(2) {
                            prop_assert!(nodes[&step[1]].contains(&step[0]));
                        }
                    }
                }
            }
        }
    }
}
