//! Where the boxes of a graph stand: in layers from left to right, each box after all that lead to it, with few crossings.

use std::collections::{BTreeMap, BTreeSet};

/// Width of a box.
pub(super) const BOX_WIDTH: f64 = 216.0;
/// Height of a box's head: tier and name.
pub(super) const HEAD_HEIGHT: f64 = 40.0;
/// Height of one column in a box.
pub(super) const ROW_HEIGHT: f64 = 18.0;
/// Space between layers, and between boxes of a layer.
const GAP: (f64, f64) = (64.0, 16.0);
/// Space around everything.
const MARGIN: f64 = 6.0;
/// Rounds in which boxes move towards their neighbours.
const ROUNDS: usize = 6;

/// One box.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) tier: String,
    pub(super) href: String,
    /// Told on hover.
    pub(super) title: String,
    pub(super) class: &'static str,
    pub(super) rows: Vec<Row>,
}

/// One column in a box.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Number by which flows name it; `None` for a line that is no column.
    pub(super) id: Option<usize>,
    pub(super) label: String,
}

impl Node {
    pub(super) fn height(&self) -> f64 {
        HEAD_HEIGHT + self.rows.len() as f64 * ROW_HEIGHT + if self.rows.is_empty() { 0.0 } else { 6.0 }
    }
}

/// What flows from one column to another.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) start: (f64, f64),
    pub(super) end: (f64, f64),
}

/// Boxes with their places, and lines between them.
#[derive(Debug, Clone, Default)]
pub(super) struct Placed {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) boxes: Vec<((f64, f64), Node)>,
    pub(super) edges: Vec<((f64, f64), (f64, f64))>,
    pub(super) flows: Vec<Flow>,
}

/// Places `nodes`. `edges` are pairs of indices into it, free of circles; `flows` are pairs of columns' numbers.
pub(super) fn place(
    nodes: Vec<Node>,
    edges: &BTreeSet<(usize, usize)>,
    flows: &BTreeSet<(usize, usize)>,
) -> Placed {
    let layers = ordered(&layers(nodes.len(), edges), edges);
    let tall = |layer: &Vec<usize>| {
        layer.iter().map(|node| nodes[*node].height()).sum::<f64>()
            + GAP.1 * layer.len().saturating_sub(1) as f64
    };
    let inner = layers.iter().map(tall).fold(0.0, f64::max);
    let mut places = vec![(0.0, 0.0); nodes.len()];
    for (index, layer) in layers.iter().enumerate() {
        let mut y = MARGIN + (inner - tall(layer)) / 2.0;
        for node in layer {
            places[*node] = (MARGIN + index as f64 * (BOX_WIDTH + GAP.0), y);
            y += nodes[*node].height() + GAP.1;
        }
    }
    let mut rows: BTreeMap<usize, (usize, (f64, f64))> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for (line, row) in node.rows.iter().enumerate() {
            if let Some(id) = row.id {
                let (x, y) = places[index];
                rows.insert(id, (index, (x, y + HEAD_HEIGHT + (line as f64 + 0.5) * ROW_HEIGHT)));
            }
        }
    }
    let mut drawn = BTreeSet::new();
    let flows: Vec<Flow> = flows
        .iter()
        .filter_map(|(from, to)| {
            let ((a, (x1, y1)), (b, end)) = (*rows.get(from)?, *rows.get(to)?);
            drawn.insert((a, b));
            Some(Flow { from: *from, to: *to, start: (x1 + BOX_WIDTH - 4.0, y1), end: (end.0 + 4.0, end.1) })
        })
        .collect();
    // Where columns are joined, a line between the tables would say it twice.
    let between = edges.iter().filter(|edge| !drawn.contains(edge)).map(|(from, to)| {
        let ((x1, y1), (x2, y2)) = (places[*from], places[*to]);
        ((x1 + BOX_WIDTH, y1 + HEAD_HEIGHT / 2.0), (x2, y2 + HEAD_HEIGHT / 2.0))
    });
    Placed {
        width: 2.0 * MARGIN + layers.len().max(1) as f64 * (BOX_WIDTH + GAP.0) - GAP.0,
        height: 2.0 * MARGIN + inner,
        edges: between.collect(),
        flows,
        boxes: places.into_iter().zip(nodes).collect(),
    }
}

/// Nodes by the length of the longest way that leads to them.
fn layers(count: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut depth = vec![0; count];
    // As many rounds as the longest way has steps; one more than there are nodes can only be a circle.
    for _ in 0..count {
        let mut moved = false;
        for (from, to) in edges {
            if depth[*to] <= depth[*from] {
                depth[*to] = depth[*from] + 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let mut layers = vec![Vec::new(); depth.iter().max().map_or(0, |most| most + 1)];
    for (node, depth) in depth.into_iter().enumerate() {
        layers[depth].push(node);
    }
    layers.retain(|layer| !layer.is_empty());
    layers
}

/// The layers with their nodes near the middle of their neighbours, seen from the left and from the right in turn.
fn ordered(layers: &[Vec<usize>], edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut layers = layers.to_vec();
    for round in 0..ROUNDS {
        let mut place: BTreeMap<usize, f64> = BTreeMap::new();
        for layer in &layers {
            for (index, node) in layer.iter().enumerate() {
                place.insert(*node, (index as f64 + 0.5) / layer.len() as f64);
            }
        }
        for layer in &mut layers {
            let middle = |node: &usize| {
                let near: Vec<f64> = edges
                    .iter()
                    .filter_map(|(from, to)| match round % 2 == 0 {
                        true => (to == node).then(|| place[from]),
                        false => (from == node).then(|| place[to]),
                    })
                    .collect();
                match near.is_empty() {
                    true => place[node],
                    false => near.iter().sum::<f64>() / near.len() as f64,
                }
            };
            let mut keyed: Vec<(f64, usize)> = layer.iter().map(|node| (middle(node), *node)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, node)| node).collect();
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: usize) -> Vec<Node> {
        vec![Node::default(); count]
    }

    #[test]
    fn every_box_stands_right_of_what_leads_to_it_and_none_covers_another() {
        let edges = BTreeSet::from([(0, 2), (1, 2), (2, 3), (0, 3), (1, 4)]);
        let placed = place(nodes(6), &edges, &BTreeSet::new());
        for (from, to) in &edges {
            assert!(placed.boxes[*from].0.0 < placed.boxes[*to].0.0, "{from} {to}");
        }
        for (index, (a, node)) in placed.boxes.iter().enumerate() {
            assert!(a.0 + BOX_WIDTH <= placed.width && a.1 + node.height() <= placed.height);
            for (b, _) in &placed.boxes[index + 1..] {
                assert!(a.0 != b.0 || (a.1 - b.1).abs() >= node.height());
            }
        }
        assert_eq!(placed.edges.len(), 5);
    }

    #[test]
    fn columns_that_are_joined_stand_for_the_line_between_their_tables() {
        let mut all = nodes(2);
        all[0].rows.push(Row { id: Some(7), label: "a".to_string() });
        all[1].rows.push(Row { id: Some(8), label: "b".to_string() });
        let placed = place(all, &BTreeSet::from([(0, 1)]), &BTreeSet::from([(7, 8), (7, 99)]));
        assert_eq!((placed.edges.len(), placed.flows.len()), (0, 1));
    }

    #[test]
    fn boxes_come_to_stand_beside_their_neighbours() {
        // 0 leads to 3 and 1 leads to 2: without a change of places the lines would cross.
        let layers = ordered(&[vec![0, 1], vec![2, 3]], &BTreeSet::from([(0, 3), (1, 2)]));
        let crossed = layers[0][0] == 0 && layers[1][0] == 2 || layers[0][0] == 1 && layers[1][0] == 3;
        assert!(!crossed, "{layers:?}");
    }
}
