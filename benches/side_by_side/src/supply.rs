//! Tokens for slices: none is fresh twice for the same filter.

use std::collections::HashMap;

use hyper::StatusCode;
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand_distr::Zipf;

use crate::cases::{Case, Load};
use crate::filters::Filter;
use crate::requests::Batch;
use crate::tokens::{FAVOURITE, FRESH, REGULARS, Tokens};

/// Hands out the tokens of one run of Envoy.
#[derive(Debug)]
pub(crate) struct Supply<'a> {
    tokens: &'a Tokens,
    /// How many each filter has seen, of the good ones and of the forged.
    used: HashMap<(Filter, Load), u32>,
    /// The same sequence in every run.
    random: StdRng,
}

impl<'a> Supply<'a> {
    /// All tokens are fresh.
    pub(crate) fn new(tokens: &'a Tokens) -> Self {
        Self { tokens, used: HashMap::new(), random: StdRng::seed_from_u64(1) }
    }

    /// The requests of a slice.
    pub(crate) fn batch(&mut self, case: &Case, count: u32) -> Batch {
        let same = || vec![0; usize::try_from(count).expect("some thousand requests")];
        let one = |token: String| (vec![token], same());
        let (tokens, order) = match case.load {
            Load::NotAToken => one("c2Vzc2lvbi1pZGVudGlmaWVyLW9mLWFub3RoZXItc2VydmljZQ".into()),
            Load::Warm => one(self.tokens.valid(FAVOURITE)),
            Load::ForgedSame => one(self.tokens.forged(FAVOURITE)),
            // As long as a real one.
            Load::Junk => one(["a".repeat(72), "b".repeat(520), "c".repeat(342)].join(".")),
            Load::Mixed => (self.regulars(), self.zipf(count)),
            Load::Cold => (self.fresh(case, count, Tokens::valid), (0..count).collect()),
            Load::ForgedFlood => (self.fresh(case, count, Tokens::forged), (0..count).collect()),
        };
        Batch::new(case.protocol, case.route, case.source, &tokens, order).with_body(case.body)
    }

    /// What is sent before and not counted, with what the filter answers: connections and caches are then as they are
    /// in the middle of a long run.
    pub(crate) fn warm_up(&self, case: &Case, count: u32) -> (Batch, StatusCode) {
        let (tokens, order, load) = match case.load {
            Load::Mixed => (self.regulars(), (0..REGULARS).collect(), case.load),
            Load::Warm | Load::Cold => {
                (vec![self.tokens.valid(FAVOURITE)], vec![0; count.try_into().expect("a count")], Load::Warm)
            }
            Load::ForgedSame | Load::ForgedFlood | Load::NotAToken | Load::Junk => {
                let token = self.tokens.forged(FAVOURITE);
                (vec![token], vec![0; count.try_into().expect("a count")], Load::ForgedSame)
            }
        };
        (
            Batch::new(case.protocol, case.route, case.source, &tokens, order).with_body(case.body),
            status(load),
        )
    }

    fn regulars(&self) -> Vec<String> {
        (0..REGULARS).map(|number| self.tokens.valid(FRESH + number)).collect()
    }

    fn zipf(&mut self, count: u32) -> Vec<u32> {
        let ranks = Zipf::new(f64::from(REGULARS), 1.0).expect("a distribution");
        // Ranks are whole numbers from 1 on; `places` is where each stands.
        let places: HashMap<u64, u32> =
            (0..REGULARS).map(|place| (f64::from(place + 1).to_bits(), place)).collect();
        (0..count).map(|_| places[&ranks.sample(&mut self.random).to_bits()]).collect()
    }

    fn fresh(&mut self, case: &Case, count: u32, make: impl Fn(&Tokens, u32) -> String) -> Vec<String> {
        let used = self.used.entry((case.filter, case.load)).or_default();
        let first = *used;
        *used += count;
        assert!(*used <= FRESH, "{}: only {FRESH} tokens are fresh", case.name);
        (first..*used).map(|number| make(self.tokens, number)).collect()
    }
}

/// What every request of that load is answered with.
pub(crate) fn status(load: Load) -> StatusCode {
    if load.is_good() { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_thousand_comes_often() {
        let mut random = StdRng::seed_from_u64(1);
        let ranks = Zipf::new(f64::from(REGULARS), 1.0).unwrap();
        let drawn: Vec<f64> = (0..10_000).map(|_| ranks.sample(&mut random)).collect();
        assert!(drawn.iter().all(|rank| (1.0..=1000.0).contains(rank) && rank.fract() == 0.0));
        // 1 / (1 + 1/2 + … + 1/1000) = 0.134
        let first = drawn.iter().filter(|rank| **rank < 1.5).count();
        assert!((1_200..1_500).contains(&first), "{first}");
    }
}
