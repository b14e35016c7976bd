"""A firm and its hours judged twice: by the product in sets, and here one hour at a time from what each rule means."""
