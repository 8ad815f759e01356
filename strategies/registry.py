"""The registry: every strategy by name, with its function and its source."""

import numpy as np

from strategies.arrays import Indices, Scores
from strategies.diversity.class_quota import class_quota
from strategies.diversity.cluster_predictions import cluster_predictions
from strategies.diversity.cover_predictions import cover_predictions
from strategies.diversity.facility_location import facility_location
from strategies.diversity.k_center import k_center
from strategies.diversity.k_means import k_means
from strategies.diversity.label_distribution_matching import label_distribution_matching
from strategies.diversity.max_herding import max_herding
from strategies.diversity.metadata_balance import metadata_balance
from strategies.diversity.probcover import probcover
from strategies.diversity.rare_properties import rare_properties, rare_properties_score
from strategies.diversity.spread_properties import spread_properties
from strategies.diversity.tail_first import tail_first, tail_first_score
from strategies.diversity.typiclust import typiclust
from strategies.errors import GrammarError, suggestion
from strategies.hybrid.alfa_mix import alfa_mix
from strategies.hybrid.auto import auto
from strategies.hybrid.badge import badge
from strategies.hybrid.bait import bait
from strategies.hybrid.batch_bald import batch_bald
from strategies.hybrid.cal import cal
from strategies.hybrid.clue import clue
from strategies.hybrid.cluster_margin import cluster_margin
from strategies.hybrid.density_weighted import density_weighted
from strategies.hybrid.dropquery import dropquery
from strategies.hybrid.epig import epig
from strategies.hybrid.falcun import falcun
from strategies.hybrid.galaxy import galaxy
from strategies.hybrid.margin_k_means import margin_k_means
from strategies.hybrid.power_bald import power_bald
from strategies.hybrid.uherding import uherding
from strategies.pins import pinned_first
from strategies.pool import Pool
from strategies.random_sampling.by_group import random_groups
from strategies.random_sampling.stratified import stratified
from strategies.random_sampling.uniform import random_sampling
from strategies.strategy import Strategy, check_rng, check_size
from strategies.uncertainty.bald import bald
from strategies.uncertainty.entropy import entropy
from strategies.uncertainty.least_confidence import least_confidence
from strategies.uncertainty.margin import margin
from strategies.uncertainty.mean_standard_deviation import mean_standard_deviation
from strategies.uncertainty.members_variation_ratio import members_variation_ratio
from strategies.uncertainty.predicted_loss import predicted_loss
from strategies.uncertainty.predictive_entropy import predictive_entropy
from strategies.uncertainty.temporal_output_discrepancy import temporal_output_discrepancy
from strategies.uncertainty.variation_ratio import variation_ratio

# One line a strategy; the order is that of `names()`.
REGISTRY: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "auto",
            "Bae et al. 2025, arXiv 2412.20644; Mikolov et al. 2013, arXiv 1310.4546",
            selecting=auto,
        ),
        Strategy("entropy", "Settles 2009, section 3.1; Shannon 1948", scoring=entropy),
        Strategy("margin", "Scheffer, Decomain and Wrobel 2001", scoring=margin),
        Strategy(
            "least_confidence", "Lewis and Gale 1994, cmp-lg/9407020", scoring=least_confidence
        ),
        Strategy("variation_ratio", "Freeman 1965, chapter 5", scoring=variation_ratio),
        Strategy(
            "predictive_entropy", "Gal et al. 2017, arXiv 1703.02910", scoring=predictive_entropy
        ),
        Strategy("bald", "Houlsby et al. 2011, arXiv 1112.5745", scoring=bald),
        Strategy(
            "mean_standard_deviation",
            "Kendall et al. 2015, arXiv 1511.02680; Gal et al. 2017, arXiv 1703.02910",
            scoring=mean_standard_deviation,
        ),
        Strategy(
            "members_variation_ratio",
            "Freeman 1965, chapter 5; Gal et al. 2017, arXiv 1703.02910",
            scoring=members_variation_ratio,
        ),
        Strategy(
            "temporal_output_discrepancy",
            "Huang et al. 2021, arXiv 2107.14153",
            scoring=temporal_output_discrepancy,
        ),
        Strategy("predicted_loss", "Yoo and Kweon 2019, arXiv 1905.03677", scoring=predicted_loss),
        Strategy(
            "power_bald",
            "Kirsch et al. 2023, arXiv 2106.12059",
            scoring=bald,
            selecting=power_bald,
        ),
        Strategy("badge", "Ash et al. 2020, arXiv 1906.03671", selecting=badge),
        Strategy("falcun", "Gilhuber et al. 2024, ECML PKDD", selecting=falcun),
        Strategy("alfa_mix", "Parvaneh et al. 2022, arXiv 2203.07034", selecting=alfa_mix),
        Strategy("dropquery", "Gupte et al. 2024, arXiv 2401.14555", selecting=dropquery),
        Strategy(
            "batch_bald",
            "Kirsch et al. 2019, arXiv 1906.08158",
            selecting=batch_bald,
            small_pool_only=True,
        ),
        Strategy("epig", "Bickford Smith et al. 2023, arXiv 2304.08151", selecting=epig),
        Strategy(
            "bait",
            "Ash et al. 2021, arXiv 2106.09675; Huseljic et al. 2024, arXiv 2404.08981",
            selecting=bait,
        ),
        Strategy("cal", "Margatina et al. 2021, arXiv 2109.03764", scoring=cal),
        Strategy("galaxy", "Zhang et al. 2022, arXiv 2202.01402", selecting=galaxy),
        Strategy("k_means", "Xu et al. 2003; Zhdanov 2019, arXiv 1901.05954", selecting=k_means),
        Strategy("typiclust", "Hacohen et al. 2022, arXiv 2202.02794", selecting=typiclust),
        Strategy(
            "cluster_predictions",
            "MacQueen 1967; Gilhuber et al. 2024 (FALCUN)",
            selecting=cluster_predictions,
        ),
        Strategy("clue", "Prabhu et al. 2021, arXiv 2010.08666", selecting=clue),
        Strategy("margin_k_means", "Zhdanov 2019, arXiv 1901.05954", selecting=margin_k_means),
        Strategy(
            "cluster_margin", "Citovsky et al. 2021, arXiv 2107.14263", selecting=cluster_margin
        ),
        Strategy("max_herding", "Bae et al. 2024, arXiv 2407.12212", selecting=max_herding),
        Strategy("uherding", "Bae et al. 2025, arXiv 2412.20644", selecting=uherding),
        Strategy("facility_location", "Wei, Iyer and Bilmes 2015", selecting=facility_location),
        Strategy("probcover", "Yehuda et al. 2022, arXiv 2205.11320", selecting=probcover),
        Strategy("density_weighted", "Settles and Craven 2008", scoring=density_weighted),
        Strategy(
            "cover_predictions",
            "Bae et al. 2024, arXiv 2407.12212; Hellinger 1909",
            selecting=cover_predictions,
        ),
        Strategy("k_center", "Sener and Savarese 2018, arXiv 1708.00489", selecting=k_center),
        Strategy("class_quota", "Cochran, Sampling Techniques, chapter 5A", selecting=class_quota),
        Strategy(
            "tail_first",
            "Bengar et al. 2022, arXiv 2110.04543",
            scoring=tail_first_score,
            selecting=tail_first,
        ),
        Strategy(
            "label_distribution_matching",
            "Bengar et al. 2022, arXiv 2110.04543",
            selecting=label_distribution_matching,
        ),
        Strategy(
            "metadata_balance",
            "Balinski and Young 1982; Pocock and Simon 1975",
            selecting=metadata_balance,
        ),
        Strategy(
            "rare_properties",
            "Iglewicz and Hoaglin 1993, chapter 3",
            scoring=rare_properties_score,
            selecting=rare_properties,
        ),
        Strategy(
            "spread_properties",
            "Mak and Joseph 2018; Minasny and McBratney 2006",
            selecting=spread_properties,
        ),
        Strategy("random", "Cochran, Sampling Techniques, chapter 2", selecting=random_sampling),
        Strategy("stratified", "Neyman 1934; Cochran, chapter 5", selecting=stratified),
        Strategy(
            "random_groups", "Deville and Tille 1998; Cochran, chapter 9A", selecting=random_groups
        ),
    )
}


def names() -> tuple[str, ...]:
    """The name of every strategy."""
    return tuple(REGISTRY)


def strategy(name: str, path: str = "strategy") -> Strategy:
    """The strategy of this name; raises GrammarError at `path` with the nearest known name."""
    if name not in REGISTRY:
        hint = suggestion(name, REGISTRY, "strategies")
        raise GrammarError(path, f"there is no strategy {name!r}; {hint}")
    return REGISTRY[name]


def score(
    name: str, pool: Pool, rng: np.random.Generator | None = None, **parameters: object
) -> Scores:
    """One score for each item of the pool, excluded ones included; higher = label sooner.

    returns (n,) float64. Raises NoScoreError where the strategy only selects, MissingInputError
    where the pool lacks what it needs, GrammarError for an unknown name or a wrong parameter.
    """
    check_rng(rng)
    found = strategy(name)
    return found.score(pool, rng, found.accepted(parameters, name))


def select(
    name: str,
    pool: Pool,
    size: int,
    rng: np.random.Generator | None = None,
    **parameters: object,
) -> Indices:
    """`size` distinct indices of the pool, best first, never an excluded one.

    Fewer only where fewer are eligible. Pinned items come first, by index. Equal scores
    are ordered at random by `rng`, or by ascending index without one; the same seed gives the
    same answer.

    returns (min(size, eligible),) int64. Raises as `score` does, except NoScoreError.
    """
    check_size(size)
    check_rng(rng)
    found = strategy(name)
    accepted = found.accepted(parameters, name)
    pool, pins = pinned_first(pool, int(size))
    picks, _ = found.pick(pool, int(size) - len(pins), rng, accepted)
    return np.concatenate([pins, picks.indices])
