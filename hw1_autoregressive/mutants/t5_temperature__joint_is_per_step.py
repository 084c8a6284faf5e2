"""H1-X308: takes temperature per step for temperature of the sequence.
Loses: t5_temperature."""

t5_joint = t5_per_step
