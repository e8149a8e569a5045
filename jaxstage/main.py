"""Finds how deep each stage of a convolutional network has to be, and trains it.

    python -m jaxstage.main --config=configs/digits.py
    python -m jaxstage.main --config=configs/cifar10.py:smoke --workdir=runs/mine --config.seed=1
    python -m jaxstage.main --config=configs/transfer.py --config.source=runs/mine
    python -m jaxstage.main --config=configs/evaluate.py --config.source=runs/mine

--config=FILE[:PRESET]   what to do; the files in configs/ say what they need and what to expect, and go by their names,
                         too
--workdir=DIR            where checkpoints, the record and the results go; without it, a directory under runs/ that
                         belongs to this config
--config.KEY=VALUE       overrides a key of the config
--dry_run                print the config, the networks that would be trained with their parameters and MACs, and
guesses of
                         time and disk from a few measured steps; nothing is written into the work directory
--coordinator=HOST:PORT --num_processes=N --process_id=I
                         run on several hosts, the same command on each; --coordinator=auto finds them out, and in a
                         SLURM job step or on a TPU slice that is done without a flag

The same command continues an interrupted run. Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP save first; a second signal ends the run
at once. The last line on standard output is a JSON object with the result.
"""

from jaxstage.devices.signals import tell_and_end


def main(_) -> None:
    import json

    from jaxstage.cli.ends import clear_ends, quiet

    # Here, because flags are global: Python programs that import `run` have their own.
    from jaxstage.cli.flags import CONFIG, COORDINATOR, DRY_RUN, NUM_PROCESSES, PROCESS_ID, WORKDIR, config_file

    quiet()
    with clear_ends():
        from jaxstage.run import run

        cluster = (COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
        result = run(CONFIG.value, config_file(), WORKDIR.value, cluster, DRY_RUN.value)
        if result is not None:
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    tell_and_end()  # before the imports, which take a while

    from absl import app

    from jaxstage.cli.flags import parser
    from jaxstage.devices.cpu.host_memory import use_huge_pages

    use_huge_pages()
    app.run(main, flags_parser=parser(__doc__ or ""))
