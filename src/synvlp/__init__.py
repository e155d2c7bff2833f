"""Medical vision-language pre-training on synthetic chest X-rays, as a reproducible workflow."""
