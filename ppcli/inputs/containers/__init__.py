"""Images inside zip archives, tar archives and Parquet files, as inputs. Nothing is unpacked."""
