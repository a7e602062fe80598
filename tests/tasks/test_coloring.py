"""Colouring: graphs and their colourings against networkx, nearest ones, and files."""

import networkx
import pytest
import torch

from irem_core import InputFileError, SettingError, ShapeError, load_task
from irem_tasks.coloring import colouring, read_col
from irem_tasks.coloring.families import FAMILIES

GRAPH = "c a square with a diagonal\np edge 4 5\ne 1 2\ne 2 3\ne 3 4\n\ne 4 1\ne 1 3\ne 3 1\n"


def sample(count, difficulty="train", text="coloring"):
    return load_task(text).sample(count, difficulty, generator=torch.Generator().manual_seed(0))


def graphs_of(problem, colors):
    """Return each graph for networkx, by the factors alone."""
    found = []
    for each in problem.x.to_data_list():
        factor, entry = each["at_most_one", "member", "entry"].edge_index
        assert factor.bincount().eq(2).all()
        graph = networkx.empty_graph(each["variable"].num_nodes)
        pairs = entry[factor.argsort(stable=True)].view(-1, 2)
        assert (pairs % colors).diff(dim=1).eq(0).all()
        graph.add_edges_from((pairs // colors).tolist())
        assert graph.number_of_edges() * colors == len(pairs)
        found.append(graph)
    return found


def alike(graph, colours):
    return sum(int(colours[first] == colours[second]) for first, second in graph.edges)


@pytest.mark.parametrize(
    "difficulty",
    ["train", *(f"family={name},nodes=6..12,degree=3.5,colors=4" for name in FAMILIES)],
)
def test_graphs_are_drawn_with_colourings(difficulty):
    task = load_task("coloring")
    problem, y = sample(6, difficulty)
    graphs = graphs_of(problem, 3 if difficulty == "train" else 4)
    for graph, colours in zip(graphs, task.colours(problem, y), strict=True):
        assert alike(graph, colours) == 0
    assert task.verify(problem, y).all()
    assert y.view(-1, 3 if difficulty == "train" else 4).sum(1).eq(1).all()


def test_families_are_what_networkx_says():
    generator = torch.Generator().manual_seed(1)
    made = {
        name: networkx.Graph(draw(200, 4.0, generator).tolist()) for name, draw in FAMILIES.items()
    }
    degree = {name: 2 * each.number_of_edges() / 200 for name, each in made.items()}
    assert degree["watts-strogatz"] == 4
    assert degree["holme-kim"] == pytest.approx(4, abs=0.1)
    assert degree["erdos-renyi"] == pytest.approx(4, abs=0.5)
    assert degree["delaunay"] == pytest.approx(6, abs=0.3)
    assert networkx.check_planarity(made["delaunay"])[0]
    random = networkx.average_clustering(made["erdos-renyi"])
    for name in ("watts-strogatz", "holme-kim", "delaunay"):
        assert networkx.average_clustering(made[name]) > 5 * random
    assert max(dict(made["holme-kim"].degree).values()) > 15


def test_conflicts_are_counted_and_the_textbook_leaves_none():
    task = load_task("coloring")
    problem, _ = sample(5, "harder")
    guess = torch.rand(problem.layout.rows, 1, generator=torch.Generator().manual_seed(2))
    expected = [
        alike(graph, colours)
        for graph, colours in zip(graphs_of(problem, 3), task.colours(problem, guess), strict=True)
    ]
    assert min(expected) > 0
    measured = task.measures(problem, guess, guess)["conflicts"]
    assert measured.tolist() == expected
    assert task.verify(problem, task.classical(problem)).all()


def test_the_local_search_mends_what_greed_leaves():
    graph = networkx.gnp_random_graph(40, 0.3, seed=1)
    greedy, found = (
        colouring(
            torch.tensor(list(graph.edges)),
            40,
            6,
            steps=steps,
            generator=torch.Generator().manual_seed(0),
        )
        for steps in (0, 2000)
    )
    assert alike(graph, greedy) > 0
    assert alike(graph, found) == 0


def test_the_nearest_colouring_is_the_best_of_all_permutations():
    task = load_task("coloring")
    problem, y = sample(3)
    guess = torch.rand(y.shape, generator=torch.Generator().manual_seed(3))
    nearest = problem.wanted(guess, y)
    assert task.verify(problem, nearest).all()
    columns = y.view(-1, 3)
    orders = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    errors = torch.stack(
        [
            problem.layout.sum((columns[:, order].reshape(-1, 1) - guess).square()[:, 0])
            for order in orders
        ]
    )
    own = problem.layout.sum((nearest - guess).square()[:, 0])
    torch.testing.assert_close(own, errors.min(0).values)


def test_graphs_are_read_and_colours_written(tmp_path):
    task, file = load_task("coloring"), tmp_path / "graph.col"
    file.write_text(GRAPH)
    nodes, edges = read_col(file)
    assert nodes == 4
    assert edges.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]]
    problem = task.read(file, torch.device("cpu"))
    y = task.classical(problem)
    assert task.verify(problem, y).all()
    task.write(tmp_path / "graph.sol", problem, y)
    comment, *lines = (tmp_path / "graph.sol").read_text().splitlines()
    assert comment == "c 0 edges join nodes of one colour"
    colours = {int(node): int(colour) for _, node, colour in map(str.split, lines)}
    assert sorted(colours) == [1, 2, 3, 4]
    assert colours[2] == colours[4] != colours[1] != colours[3]
    with pytest.raises(ShapeError, match="no known"):
        task.nearest(problem, y)
    with pytest.raises(InputFileError, match=r"ends in \.sol"):
        task.write(file, problem, y)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("e 1 2\n", "line 1: an edge stands before the header"),
        ("p edge x 1\n", 'line 1: the header is "p edge x 1"'),
        ("p edge 0 0\n", "line 1: the header announces 0 nodes"),
        ("p edge 3 1\np edge 3 1\n", "line 2: there is a second header"),
        ("p edge 3 1\n\ne 1\n", 'line 3: the edge is "e 1"'),
        ("p edge 3 1\ne 1 4\n", "two nodes from 1 to 3"),
        ("p edge 3 1\nc\ne 2 2\n", "line 3: the edge joins node 2 with itself"),
        ("p edge 3 1\nx 1 2\n", 'line 2: it begins with "x"'),
        ("c nothing\n", "has no header"),
    ],
)
def test_faults_of_files_are_told_by_line(tmp_path, text, fault):
    file = tmp_path / "graph.col"
    file.write_text(text)
    with pytest.raises(InputFileError, match=fault):
        read_col(file)


def test_what_cannot_be_coloured_is_refused():
    with pytest.raises(SettingError, match="one colour does for no graph"):
        load_task("coloring(colors=1)")
    for difficulty, fault in [
        ("colors=1", "one colour does for no graph"),
        ("family=ring", "one of erdos-renyi"),
        ("nodes=2", "from 3 to 500"),
        ("family=delaunay,nodes=30,colors=2", "could be coloured with 2 colours"),
    ]:
        with pytest.raises(SettingError, match=fault):
            sample(1, difficulty)
