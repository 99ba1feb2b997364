"""Deep Clustering Activation Maps: unsupervised emphysema subtyping from chest CT, distributed over GPUs.

Each verb of the command line is a plain function:

    dcam_dist.phantom.write_phantom_cohort      dcam_dist.training.train, .dry_run
    dcam_dist.ingest.ingest                     dcam_dist.evaluation.evaluate
    dcam_dist.cohort.open_cohort                dcam_dist.maps.write_maps
    dcam_dist.config.load_config                dcam_dist.demo.run_demo

Importing the package imports neither torch nor CUDA.
"""

__version__ = "0.1.0"
