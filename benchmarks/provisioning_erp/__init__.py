"""An ERP that takes what a won deal becomes, and its connector, as a package outside the product brings one."""
