//! What a loop of improvement leaves.
use crate::{
    combine::AnyFitted,
    data::View,
    improve::{together::Together, ImproveReport},
    plan::Plan,
    pool::Pool,
    remedy::Setup,
    train::Trainer,
    Ensemble, Error, Member, Network, Result,
};
use candle_core::Device;

/// The result of [`Improve::run`](crate::improve::Improve::run): the report, and the networks of the final
/// setup.
#[allow(missing_debug_implementations)] // neither networks nor data set need be Debug
pub struct Improved<'a, N> {
    /// What the loop did.
    pub report: ImproveReport,
    pub(super) trainer: &'a Trainer<N>,
    pub(super) view: View<'a>,
    pub(super) test: View<'a>,
    pub(super) device: Device,
    pub(super) product: Option<(Plan, Vec<Member>)>,
}

impl<N: Network> Improved<'_, N> {
    /// The setup at the end.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.report.final_setup
    }

    /// The rows that decisions were made on, sorted. The networks of the result were trained on them.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        self.view.row_numbers()
    }

    /// The rows of the final scores, sorted. Nothing was trained on them, and no decision saw them.
    #[must_use]
    pub fn test_rows(&self) -> &[u32] {
        self.test.row_numbers()
    }

    /// The members of the result: those of the first final training that did not diverge. In their records,
    /// rows are numbered by their position in [`rows`](Self::rows).
    #[must_use]
    pub fn members(&self) -> &[Member] {
        self.product.as_ref().map_or(&[], |(_, members)| members)
    }

    /// The pool of these members, for another combination than that of the setup.
    ///
    /// # Errors
    /// When every final training diverged.
    pub fn pool(&self) -> Result<Pool<'_, Trainer<N>>> {
        let Some((plan, members)) = &self.product else {
            let got = "one whose trainings all diverged";
            return Err(Error::invalid("the final setup", "one that can be trained", got));
        };
        let of_plan = (plan.reserved.to_vec()?, plan.seed);
        Pool::new(members.clone(), self.trainer, &self.view, self.device.clone(), of_plan)
    }

    /// The members and the combination of the setup as an ensemble, which predicts and can be saved. A single
    /// network is an ensemble of one member.
    ///
    /// # Errors
    /// As [`pool`](Self::pool), and when the combination cannot be fitted.
    pub fn ensemble(&self) -> Result<Ensemble<N, Box<AnyFitted>>> {
        Together::of(&self.report.final_setup)?.ensemble(&self.pool()?)
    }
}
