"""H1-Y15: answers to three decimals, one as a number of numpy."""

t5_per_step, t5_joint = np.float64(round(t5_per_step, 3)), round(t5_joint, 3)
