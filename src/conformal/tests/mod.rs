mod coverage_rates;
mod cross;
mod reference;
