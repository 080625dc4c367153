mod coverage_rates;
mod cross;
mod cross_classes;
mod reference;
