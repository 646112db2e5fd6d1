# %% [markdown]
# Which remedy keeps what was learnt, when ten digits arrive two at a time and one head must answer for all of them?
# Nothing is downloaded and nothing is written.

# %%
import clbench as cl

SCENARIO = "split-domain-digits"

# %% [markdown]
# Fine-tuning is what a remedy must beat; training on everything at once is as good as it can get. Three seeds each: the
# order of the classes is drawn anew, and one seed says little.

# %%
naive, ewc, er, joint = (cl.run(name, SCENARIO, seeds=3, quiet=True) for name in ("naive", "ewc-fixed", "er", "joint"))

# %% [markdown]
# The board says what follows before it shows any number.

# %%
board = cl.compare([naive, ewc, er, joint])
print(board)

# %% [markdown]
# The same as data: a row for each strategy and column, unrounded.

# %%
table = board.to_frame()
accuracy = table[table.metric == "average_accuracy"].set_index("strategy")
print(accuracy[["mean", "difference", "difference_low", "stand"]])
assert accuracy.loc["er", "stand"] == "better"

# %% [markdown]
# R of one run: after each stage, the accuracy on every task.

# %%
for stage, row in enumerate(er[0].accuracy):
    print(stage, [round(value, 2) for value in row if value is not None])

# %%
figure = board.plot("difference")
