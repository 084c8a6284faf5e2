"""What every homework imports: data, plotting, training, metrics, checkpoints and the submission tool."""
